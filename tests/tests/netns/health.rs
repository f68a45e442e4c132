//! Health checks detect which targets serve.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use privatelink_tests::lab::{Daemon, Host, Lab, Network, Provider, client, wait_until};
use serde_json::Value;

use crate::fixture::{SOON, at};

const CONFIG: &str = include_str!("health.toml");

/// Networks of two vendors and a consumer; `maker` is the gateway's own address at the maker's.
fn lay(maker: &[&str]) -> Lab {
    let lab = Lab::builder()
        .network(Network::consumer("acme"))
        .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
        .network(Network::provider("maker").gateway(maker));
    lab.build().unwrap()
}

/// A target's health as the daemon reports it, and the reason.
fn health(daemon: &Daemon, service: &str, address: &str) -> (String, String) {
    let targets = daemon.ask(&["targets", service, "--json"]).unwrap();
    let targets = targets.as_array().cloned().unwrap_or_default();
    let target = targets.into_iter().find(|target| target["address"] == address);
    let target = target.unwrap_or_else(|| panic!("{service} has no target {address}"));
    let text = |key: &str| target[key].as_str().unwrap_or_default().to_owned();
    (text("health"), text("reason"))
}

fn wait_for(daemon: &Daemon, service: &str, address: &str, health: &str, reason: &str) {
    let mut last = (String::new(), String::new());
    let waited = wait_until(SOON, reason, || {
        last = self::health(daemon, service, address);
        last.0 == health && last.1.contains(reason)
    });
    waited.unwrap_or_else(|error| panic!("{error}; {service} {address} is {last:?}"));
}

#[test]
fn each_target_is_checked_in_its_own_network() {
    let lab = lay(&["10.0.0.2/16", "fd00::2/64"]);
    let vendor = Provider::start(lab.host("vendor")).unwrap();
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    for address in ["10.0.0.10", "fd00::10"] {
        wait_for(&daemon, "web", address, "healthy", "HTTP 200");
        wait_for(&daemon, "tools", address, "unhealthy", "connection refused");
    }
    drop(vendor);
    let _maker = Provider::start(lab.host("maker")).unwrap();
    for address in ["10.0.0.10", "fd00::10"] {
        wait_for(&daemon, "web", address, "unhealthy", "connection refused");
        wait_for(&daemon, "tools", address, "healthy", "connected");
    }
    let problem = "service web: no target of tcp/80 is healthy, and new flows are refused; see \
                   `privatelink targets web`";
    assert_eq!(daemon.status().unwrap()["problems"], Value::from(vec![problem]));
}

#[test]
fn a_gateway_without_an_address_says_what_it_needs() {
    let lab = lay(&[]);
    let _maker = Provider::start(lab.host("maker")).unwrap();
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    let problems = || daemon.status().unwrap()["problems"].to_string();
    for (family, length) in [("IPv4", 16), ("IPv6", 64)] {
        let needs = format!(
            "service tools: targets are not checked: the gateway has no {family} address of its \
             own on veth-maker; give it one with `ip address add ADDRESS/{length} dev veth-maker`"
        );
        assert!(problems().contains(&needs), "{}", problems());
    }
    wait_for(&daemon, "tools", "10.0.0.10", "initial", "not checked: the gateway has no IPv4");
    lab.gateway().ip("address add 10.0.0.2/16 dev veth-maker").unwrap();
    wait_for(&daemon, "tools", "10.0.0.10", "healthy", "connected");
    assert!(!problems().contains("tools: targets are not checked: the gateway has no IPv4"));
}

/// With the default interval of ten seconds, only clients' flows can reveal it this early.
const EARLY: Duration = Duration::from_secs(4);

/// A client that opens connections without a pause until this is dropped.
struct Clients {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clients {
    fn of(host: &Host, server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (host, end) = (host.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                // Most fail: the test only needs the gateway to see them.
                let _ = host.run(|| client::connect(server, Duration::from_millis(50)));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Both services with the default check, every ten seconds.
fn with_default_checks() -> String {
    let config = CONFIG.replace(", interval = \"500ms\", timeout = \"400ms\"", "");
    assert!(config.contains("{ protocol = \"tcp\" }"));
    config
}

#[test]
fn clients_that_are_refused_bring_the_check_forward() {
    let lab = lay(&["10.0.0.2/16", "fd00::2/64"]);
    let provider = Provider::start(lab.host("vendor")).unwrap();
    let daemon = Daemon::start(lab.gateway(), &with_default_checks()).unwrap();
    wait_for(&daemon, "web", "10.0.0.10", "healthy", "HTTP 200");
    let _clients = Clients::of(lab.host("acme"), at("10.1.0.50", 80));
    drop(provider);
    let ended = Instant::now();
    wait_for(&daemon, "web", "10.0.0.10", "unhealthy", "connection refused");
    assert!(ended.elapsed() < EARLY, "{:?}", ended.elapsed());
    println!("unhealthy {:?} after its process has ended", ended.elapsed());
    // The other family's target has no clients until then, so its check is not brought forward.
    let events = daemon.ask(&["events", "--kind", "target-unhealthy", "--json"]).unwrap();
    let first = events.as_array().into_iter().flatten().find(|event| event["service"] == "web");
    assert_eq!(first.unwrap()["address"], "10.0.0.10", "{events}");
}

#[test]
fn clients_without_an_answer_bring_the_check_forward() {
    let lab = lay(&["10.0.0.2/16", "fd00::2/64"]);
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let daemon = Daemon::start(lab.gateway(), &with_default_checks()).unwrap();
    wait_for(&daemon, "web", "10.0.0.10", "healthy", "HTTP 200");
    let _clients = Clients::of(lab.host("acme"), at("10.1.0.50", 80));
    let host = lab.host("vendor").namespace();
    host.ip("address del 10.0.0.10/16 dev eth0").unwrap();
    let ended = Instant::now();
    wait_for(&daemon, "web", "10.0.0.10", "unhealthy", "");
    assert!(ended.elapsed() < EARLY, "{:?}", ended.elapsed());
    println!("unhealthy {:?} after its host has gone", ended.elapsed());
}
