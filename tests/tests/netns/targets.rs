//! Which targets get new flows, and what happens to the flows of an unhealthy or removed target.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read as _},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use privatelink_tests::lab::{
    Daemon, Host, Lab, Network, Provider, client,
    provider::{ECHO_PORT, HTTP_PORT, Kind},
    wait_until,
};
use privatelink_user::timestamp::Timestamp;
use serde_json::Value;

use crate::fixture::{SOON, at, ip, reload};

const CONFIG: &str = include_str!("targets.toml");

/// The endpoint.
const WEB: &str = "10.1.0.50";

/// The port of the targets' health checks.
const HEALTH_PORT: u16 = 9000;

/// The provider's addresses, each a target when a test says so.
const ADDRESSES: [&str; 6] =
    ["10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14", "10.0.0.15"];

fn lay() -> Lab {
    let addresses = ADDRESSES.map(|address| format!("{address}/16"));
    let addresses = addresses.each_ref().map(String::as_str);
    let vendor = Network::new("vendor").host("vendor", &addresses).gateway(&["10.0.0.1/16"]);
    Lab::builder().network(Network::consumer("acme")).network(vendor).build().unwrap()
}

/// The configuration with these targets, `ADDRESS=WEIGHT`, and more about the service.
fn config(targets: &[&str], rules: &str) -> String {
    let target = |text: &&str| {
        let (address, weight) = text.split_once('=').unwrap();
        format!("{{ address = \"{address}\", weight = {weight} }}")
    };
    let targets: Vec<String> = targets.iter().map(target).collect();
    let targets = format!("target = [{}]", targets.join(", "));
    CONFIG.replace("# targets", &targets).replace("# rules", rules)
}

/// One target: its servers, and a separate server for its health checks.
struct Target {
    servers: Provider,
    health: Option<Provider>,
}

impl Target {
    fn start(lab: &Lab, address: &str) -> Self {
        let serve = |servers: &[(Kind, u16)]| {
            let namespace = lab.host("vendor").namespace();
            Provider::at(namespace, &[ip(address)], servers).unwrap()
        };
        let servers = serve(&[(Kind::Http, HTTP_PORT), (Kind::TcpEcho, ECHO_PORT)]);
        Self { servers, health: Some(serve(&[(Kind::Http, HEALTH_PORT)])) }
    }
}

/// A target as the daemon lists it, on any port.
fn listed(daemon: &Daemon, address: &str) -> Option<Value> {
    let targets = daemon.ask(&["targets", "web", "--json"]).unwrap();
    let targets = targets.as_array().cloned().unwrap_or_default();
    targets.into_iter().find(|target| target["address"] == address)
}

fn wait_for(daemon: &Daemon, address: &str, health: &str) {
    let mut last = None;
    let waited = wait_until(SOON, health, || {
        last = listed(daemon, address);
        last.as_ref().is_some_and(|target| target["health"] == health)
    });
    waited.unwrap_or_else(|error| panic!("{error}; {address} is {last:?}"));
}

/// Exchanges some bytes over a connection, which stays open.
fn goes_on(stream: &TcpStream) {
    client::tcp_exchange(stream, 5_000, 1).unwrap();
}

/// Waits until the client's end of a flow ends, and returns whether it was reset.
fn is_reset(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(3 * SOON)).unwrap();
    let read = client::uninterrupted(|| stream.read(&mut [0; 1]));
    println!("the connection ends with {read:?}");
    read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

fn connect(lab: &Lab, port: u16) -> anyhow::Result<TcpStream> {
    lab.host("acme").run(|| client::connect(at(WEB, port), SOON))
}

/// Whether a client is refused at once because no target serves.
fn is_refused(lab: &Lab, port: u16) -> bool {
    connect(lab, port).is_err_and(|error| {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        kind == Some(ErrorKind::ConnectionRefused)
    })
}

/// Short requests without a pause, until they are ended.
struct Requests {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl Requests {
    fn start(host: &Host, server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = || {
            let (host, stop) = (host.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                let (mut count, mut failures) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let page = host.run(|| client::http_get(server, SOON));
                    let failed = page.map_or_else(
                        |error| Some(format!("{error:#}")),
                        |page| (page.status != 200).then(|| format!("status {}", page.status)),
                    );
                    failures.extend(failed);
                    count += 1;
                }
                (count, failures)
            })
        };
        let threads = vec![client(), client()];
        Self { stop, threads }
    }

    /// Ends them; returns how many there were, and the errors of those that failed.
    fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter().map(|thread| thread.join().unwrap());
        ended.fold((0, Vec::new()), |(all, mut failures), (count, more)| {
            failures.extend(more);
            (all + count, failures)
        })
    }
}

/// The servers that were asked for pages.
fn asked(targets: &[Target]) -> BTreeSet<IpAddr> {
    let seen = targets.iter().flat_map(|target| target.servers.seen());
    seen.filter(|seen| seen.kind == Kind::Http).map(|seen| seen.local.ip()).collect()
}

#[test]
fn all_targets_are_replaced_without_a_lost_request() {
    let lab = lay();
    let mut targets: Vec<Target> =
        ADDRESSES[..3].iter().map(|address| Target::start(&lab, address)).collect();
    let weighted: Vec<String> = ADDRESSES.iter().map(|address| format!("{address}=100")).collect();
    let weighted: Vec<&str> = weighted.iter().map(String::as_str).collect();
    let rules = "drain = \"2s\"";
    let daemon = Daemon::start(lab.gateway(), &config(&weighted[..3], rules)).unwrap();
    let requests = Requests::start(lab.host("acme"), at(WEB, 80));
    let mut replaced = Vec::new();
    for (number, (old, new)) in ADDRESSES.iter().zip(&ADDRESSES[3..]).enumerate() {
        targets.push(Target::start(&lab, new));
        reload(&daemon, &config(&weighted[number..number + 4], rules)).unwrap();
        wait_for(&daemon, new, "healthy");
        reload(&daemon, &config(&weighted[number + 1..number + 4], rules)).unwrap();
        assert_eq!(listed(&daemon, old).unwrap()["health"], "draining");
        wait_until(SOON, "the old one to be gone", || listed(&daemon, old).is_none()).unwrap();
        replaced.push(targets.remove(0));
        // Switched off.
        replaced.last_mut().unwrap().health = None;
    }
    let all: Vec<Target> = replaced.into_iter().chain(targets).collect();
    wait_until(SOON, "every target to be asked", || asked(&all).len() == 6).unwrap();
    let (count, failures) = requests.end();
    println!("{count} requests while three targets were replaced, {} failed", failures.len());
    if !failures.is_empty() {
        println!("dropped: {}", daemon.status().unwrap()["drops"]);
        println!("{:#}", daemon.ask(&["events", "--json"]).unwrap());
    }
    assert!(failures.is_empty(), "{} of {count}: {:?}", failures.len(), failures.first());
    assert!(count > 50, "only {count} requests");
}

#[test]
fn a_removed_target_drains_and_is_reset_whatever_happens_to_the_daemon() {
    let lab = lay();
    let _targets = ADDRESSES[..2].iter().map(|a| Target::start(&lab, a)).collect::<Vec<_>>();
    let rules = "drain = \"12s\"";
    let only = |address: &str| config(&[&format!("{address}=100")], rules);
    let mut daemon = Daemon::start(lab.gateway(), &only("10.0.0.10")).unwrap();
    let old = connect(&lab, 7).unwrap();
    goes_on(&old);
    reload(&daemon, &only("10.0.0.11")).unwrap();
    let draining = listed(&daemon, "10.0.0.10").unwrap();
    assert_eq!((&draining["health"], &draining["weight"]), (&"draining".into(), &0.into()));
    let end = until(&draining);
    wait_for(&daemon, "10.0.0.11", "healthy");
    let new = connect(&lab, 7).unwrap();
    goes_on(&new);
    goes_on(&old);
    daemon.kill();
    daemon.run().unwrap();
    let draining = listed(&daemon, "10.0.0.10").unwrap();
    assert_eq!(until(&draining), end, "the deadline is kept");
    goes_on(&old);
    assert!(is_reset(&old));
    assert!(Timestamp::now() >= end, "reset before its time");
    goes_on(&new);
    wait_until(SOON, "the target is gone", || listed(&daemon, "10.0.0.10").is_none()).unwrap();
}

/// When the remaining flows of a target are reset.
fn until(target: &Value) -> Timestamp {
    serde_json::from_value(target["until"].clone()).unwrap()
}

#[test]
fn a_target_that_comes_back_keeps_its_flows() {
    let lab = lay();
    let _targets = ADDRESSES[..2].iter().map(|a| Target::start(&lab, a)).collect::<Vec<_>>();
    let rules = "drain = \"6s\"";
    let both = config(&["10.0.0.10=1", "10.0.0.11=1"], rules);
    let daemon = Daemon::start(lab.gateway(), &config(&["10.0.0.10=1"], rules)).unwrap();
    let stream = connect(&lab, 7).unwrap();
    goes_on(&stream);
    reload(&daemon, &config(&["10.0.0.11=1"], rules)).unwrap();
    let end = until(&listed(&daemon, "10.0.0.10").unwrap());
    reload(&daemon, &both).unwrap();
    wait_for(&daemon, "10.0.0.10", "healthy");
    wait_until(SOON, "its drain to be over", || Timestamp::now() > end).unwrap();
    goes_on(&stream);
}

#[test]
fn weights_take_effect_on_new_flows() {
    let lab = lay();
    let targets: Vec<Target> = ADDRESSES[..2].iter().map(|a| Target::start(&lab, a)).collect();
    let weights = |a: u32, b: u32| {
        let targets = [format!("10.0.0.10={a}"), format!("10.0.0.11={b}")];
        config(&targets.each_ref().map(String::as_str), "")
    };
    let daemon = Daemon::start(lab.gateway(), &weights(100, 0)).unwrap();
    let stream = connect(&lab, 7).unwrap();
    let fetch = |count| {
        for _ in 0..count {
            lab.host("acme").run(|| client::http_get(at(WEB, 80), SOON)).unwrap();
        }
    };
    fetch(20);
    assert_eq!(asked(&targets), [ip("10.0.0.10")].into());
    assert_eq!(listed(&daemon, "10.0.0.11").unwrap()["health"], "unused");
    reload(&daemon, &weights(0, 100)).unwrap();
    assert_eq!(listed(&daemon, "10.0.0.10").unwrap()["health"], "draining");
    let before = targets[0].servers.seen().len();
    fetch(20);
    assert_eq!(targets[0].servers.seen().len(), before);
    assert_eq!(asked(&targets), [ip("10.0.0.10"), ip("10.0.0.11")].into());
    reload(&daemon, &weights(100, 100)).unwrap();
    goes_on(&stream);
    fetch(40);
    assert!(targets[0].servers.seen().len() > before);
}

#[test]
fn a_service_without_a_healthy_target_fails_as_declared() {
    // The keys of the service, whether live flows continue, and whether new ones are accepted.
    for (rules, goes, opens) in [
        ("", false, false),
        ("on_unhealthy = \"keep\"", true, false),
        ("fail_open = true", true, true),
    ] {
        let lab = lay();
        let mut target = Target::start(&lab, ADDRESSES[0]);
        let daemon = Daemon::start(lab.gateway(), &config(&["10.0.0.10=1"], rules)).unwrap();
        let stream = connect(&lab, 7).unwrap();
        goes_on(&stream);
        target.health = None;
        wait_for(&daemon, ADDRESSES[0], "unhealthy");
        if opens {
            goes_on(&connect(&lab, 7).unwrap());
        } else {
            wait_until(SOON, "refusals", || is_refused(&lab, 7)).unwrap();
            assert!(daemon.status().unwrap()["drops"]["no_target"].as_u64() > Some(0));
        }
        if goes {
            goes_on(&stream);
        } else {
            assert!(is_reset(&stream), "{rules}");
        }
        // A target that recovers serves again.
        let namespace = lab.host("vendor").namespace();
        let health = [(Kind::Http, HEALTH_PORT)];
        target.health = Some(Provider::at(namespace, &[ip(ADDRESSES[0])], &health).unwrap());
        wait_for(&daemon, ADDRESSES[0], "healthy");
        wait_until(SOON, "new flows", || connect(&lab, 7).is_ok()).unwrap();
    }
}

#[test]
fn a_restarted_daemon_knows_the_health_of_targets() {
    let lab = lay();
    let mut targets: Vec<Target> = ADDRESSES[..2].iter().map(|a| Target::start(&lab, a)).collect();
    let text = config(&["10.0.0.10=1", "10.0.0.11=1"], "");
    let mut daemon = Daemon::start(lab.gateway(), &text).unwrap();
    targets[1].health = None;
    wait_for(&daemon, "10.0.0.11", "unhealthy");
    let since = |daemon: &Daemon, address| listed(daemon, address).unwrap()["since"].clone();
    let before = ["10.0.0.10", "10.0.0.11"].map(|address| since(&daemon, address));
    let requests = Requests::start(lab.host("acme"), at(WEB, 80));
    for _ in 0..2 {
        daemon.kill();
        daemon.run().unwrap();
    }
    let (count, failures) = requests.end();
    assert!(failures.is_empty(), "{} of {count}: {:?}", failures.len(), failures.first());
    let after = ["10.0.0.10", "10.0.0.11"].map(|address| since(&daemon, address));
    assert_eq!(after, before);
}

#[test]
fn a_map_leads_each_port_to_its_target() {
    let lab = lay();
    let mut targets: Vec<Target> = ADDRESSES[..3].iter().map(|a| Target::start(&lab, a)).collect();
    let map = "[[service.listener]]\nprotocol = \"tcp\"\n\
               map = { 9093 = \"10.0.0.11:8080\", 9094 = \"10.0.0.12:8080\" }\n\n[[endpoint]]";
    let text = config(&["10.0.0.10=1"], "").replace("[[endpoint]]", map);
    let text = text.replace(", port = 9000", "").replacen("port = 7\n", "port = 8\n", 1);
    let text = text.replace("target_port = 7777", "target_port = 8080");
    let daemon = Daemon::start(lab.gateway(), &text).unwrap();
    let fetch = |port| lab.host("acme").run(|| client::http_get(at(WEB, port), SOON));
    for (number, port) in [80, 9093, 9094].into_iter().enumerate() {
        let from = |target: &Target| {
            let seen = target.servers.seen().into_iter();
            seen.filter(|seen| seen.peer.ip() != ip("10.0.0.1")).count()
        };
        let before: Vec<usize> = targets.iter().map(from).collect();
        fetch(port).unwrap();
        let mut expected = before;
        expected[number] += 1;
        assert_eq!(targets.iter().map(from).collect::<Vec<_>>(), expected, "port {port}");
    }
    drop(targets.remove(1));
    wait_for(&daemon, "10.0.0.11", "unhealthy");
    wait_until(SOON, "refusals", || is_refused(&lab, 9093)).unwrap();
    fetch(9094).unwrap();
    fetch(80).unwrap();
}
