//! The life of a connection, driven by the command line, and its effect on packets.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use privatelink_tests::lab::{
    Capture, client, network::DEVICE, provider::ECHO_PORT, tool, wait_until,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{CONFIG, ENDPOINT, NEVER, SOON, Scene, at, everything_works};

/// Live flows while their connection is rejected.
const FLOWS: usize = 1_000;
const THREADS: usize = 4;

/// Matches TCP segments that carry bytes.
const PAYLOAD: &str =
    "ip and tcp and ((ip[2:2] - ((ip[0] & 0xf) << 2)) - ((tcp[12] & 0xf0) >> 2)) != 0";

fn config(rules: &str) -> String {
    let rules = format!("acceptance = \"manual\"\n{rules}\n");
    CONFIG.replacen("acceptance = \"automatic\"\n", &rules, 1).replacen(
        "max_flows = 4096",
        "max_flows = 65536",
        1,
    )
}

fn connection(scene: &Scene) -> Value {
    scene.daemon.ask(&["connections", "acme-web", "--json"]).unwrap()
}

/// Runs a command that decides about `acme-web`, and returns what it printed.
fn decide(scene: &Scene, words: &[&str]) -> Value {
    let decided = scene.daemon.ask(&[words, &["--json"]].concat()).unwrap();
    assert_eq!(decided["endpoint"], "acme-web", "{decided}");
    decided
}

/// A client sends its SYN again after one second: a refusal that comes sooner answers the first.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Fails if anything gets through the endpoint, or if a client has to wait for the refusal.
fn refused_at_once(scene: &Scene) {
    for endpoint in ENDPOINT {
        let begin = Instant::now();
        let tcp = scene.acme().run(|| client::connect(at(endpoint, 80), SOON)).unwrap_err();
        assert_eq!(kind(&tcp), Some(ErrorKind::ConnectionRefused), "{endpoint}: {tcp:#}");
        assert!(begin.elapsed() < AT_ONCE, "{endpoint}: {:?}", begin.elapsed());
        let udp = scene.acme().run(|| client::udp_echo(at(endpoint, 7), b"ping", SOON));
        let udp = udp.unwrap_err();
        // What a socket makes of "administratively prohibited" differs between the families.
        let timed_out = [Some(ErrorKind::WouldBlock), Some(ErrorKind::TimedOut)];
        assert!(!timed_out.contains(&kind(&udp)), "{endpoint}: {udp:#}");
    }
}

fn kind(error: &anyhow::Error) -> Option<ErrorKind> {
    error.downcast_ref::<io::Error>().map(io::Error::kind)
}

/// Packets and bytes that the endpoint has forwarded, both ways.
fn carried(scene: &Scene) -> [u64; 4] {
    let endpoint = scene.daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
    ["packets_in", "packets_out", "bytes_in", "bytes_out"]
        .map(|key| endpoint[key].as_u64().unwrap())
}

/// Flows that are written to and read from until `ended`.
struct Load {
    streams: Vec<TcpStream>,
    ended: AtomicBool,
    echoed: AtomicU64,
    /// Flows that were reset by the gateway.
    reset: AtomicUsize,
}

impl Load {
    fn open(scene: &Scene) -> Self {
        let open = || {
            let opened = (0..FLOWS).map(|_| client::connect(at(ENDPOINT[0], 7), SOON));
            opened.collect::<anyhow::Result<Vec<_>>>()
        };
        let streams = scene.acme().run(open).unwrap();
        for stream in &streams {
            stream.set_nonblocking(true).unwrap();
        }
        Self {
            streams,
            ended: AtomicBool::new(false),
            echoed: AtomicU64::new(0),
            reset: AtomicUsize::new(0),
        }
    }

    fn run(&self, streams: &[TcpStream]) {
        let mut buffer = [0; 4096];
        let mut live: Vec<&TcpStream> = streams.iter().collect();
        while !self.ended.load(Ordering::Relaxed) {
            live.retain(|stream| {
                let mut stream: &TcpStream = stream;
                let written = stream.write(&[0x5a; 64]);
                let read = stream.read(&mut buffer);
                self.echoed.fetch_add(*read.as_ref().unwrap_or(&0) as u64, Ordering::Relaxed);
                let waits = |error: &io::Error| error.kind() == ErrorKind::WouldBlock;
                let goes_on = [written, read]
                    .iter()
                    .all(|done| done.as_ref().is_ok() || done.as_ref().is_err_and(waits));
                if !goes_on {
                    self.reset.fetch_add(1, Ordering::Relaxed);
                }
                goes_on
            });
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs `work` while all flows are busy.
    fn while_running(&self, work: impl FnOnce()) {
        /// Ends the load also when the work fails.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        thread::scope(|scope| {
            let _end = End(&self.ended);
            for streams in self.streams.chunks(FLOWS.div_ceil(THREADS)) {
                scope.spawn(|| self.run(streams));
            }
            work();
        });
    }
}

#[test]
fn a_connection_follows_its_decisions() {
    let scene = Scene::with(&config("")).unwrap();
    assert_eq!(connection(&scene)["state"], "pending-acceptance");
    refused_at_once(&scene);
    assert_eq!(scene.provider.seen(), []);

    let accepted = decide(&scene, &["accept", "acme-web", "--reason", "ticket 42"]);
    assert_eq!(
        (accepted["state"].as_str(), accepted["by"].as_str()),
        (Some("available"), Some("root"))
    );
    assert_eq!(accepted["reason"], "ticket 42");
    everything_works(scene.acme()).unwrap();

    let load = Load::open(&scene);
    load.while_running(|| cut(&scene, &load));

    decide(&scene, &["accept", "acme-web"]);
    everything_works(scene.acme()).unwrap();
    let history = connection(&scene)["history"].as_array().unwrap().clone();
    let steps: Vec<_> = history.iter().map(|step| step["to"].as_str().unwrap()).collect();
    assert_eq!(steps, ["pending-acceptance", "available", "rejected", "available"]);
    assert_eq!(history[2]["from"], "available");
    assert_eq!(history[2]["uid"], 0);
}

/// Rejects the connection under load: no packet passes once the command has returned.
fn cut(scene: &Scene, load: &Load) {
    let directory = TempDir::new().unwrap();
    let capture =
        |host| Capture::start(scene.lab.host(host).namespace(), DEVICE, &directory).unwrap();
    let (at_acme, at_vendor) = (capture("acme"), capture("vendor"));
    let before = load.echoed.load(Ordering::Relaxed);
    wait_until(SOON, "all flows are busy", || {
        load.echoed.load(Ordering::Relaxed) > before + 20 * 64 * FLOWS as u64
    })
    .unwrap();
    let status = scene.daemon.status().unwrap();
    assert!(status["flows"]["active"].as_u64().unwrap() >= FLOWS as u64, "{status}");

    assert_eq!(load.reset.load(Ordering::Relaxed), 0);
    let rejected = decide(scene, &["reject", "acme-web"]);
    let returned = SystemTime::now();
    let passed = carried(scene);
    assert_eq!(rejected["state"], "rejected");
    wait_until(SOON, "every flow has tried again, and was reset", || {
        load.reset.load(Ordering::Relaxed) == FLOWS
    })
    .unwrap();
    refused_at_once(scene);
    assert_eq!(carried(scene), passed, "packets passed after the command had returned");

    let to_vendor = format!("dst port {ECHO_PORT} and {PAYLOAD}");
    let to_acme = format!("src host {} and {PAYLOAD}", ENDPOINT[0]);
    for (capture, filter) in [(at_vendor, to_vendor), (at_acme, to_acme)] {
        let (after, before) = capture.split(&filter, returned).unwrap();
        assert!(before > FLOWS, "only {before} payloads before: the capture does not work");
        assert_eq!(after, 0, "payloads that arrived after the command had returned: {filter}");
    }
}

#[test]
fn decisions_survive_kill_9_and_a_grant_ends_by_itself() {
    let mut scene = Scene::with(&config("on_reject = { drain = \"2s\" }")).unwrap();
    decide(&scene, &["accept", "acme-web"]);
    scene.daemon.kill();
    scene.daemon.run().unwrap();
    assert_eq!(connection(&scene)["state"], "available");
    everything_works(scene.acme()).unwrap();

    let flow = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    client::tcp_exchange(&flow, 1_000, 1).unwrap();
    let granted = decide(&scene, &["accept", "acme-web", "--for", "1s"]);
    assert!(granted["until"].is_string(), "{granted}");
    wait_until(SOON, "the grant has ended", || connection(&scene)["state"] == "expired").unwrap();
    // Earlier flows continue for the drain, new ones are refused at once.
    refused_at_once(&scene);
    wait_until(SOON, "the drain is over", || connection(&scene)["draining"] == false).unwrap();
    flow.set_read_timeout(Some(NEVER)).unwrap();
    client::tcp_exchange(&flow, 1_000, 2).unwrap_err();

    // Only a new request of the consumer makes it wait for a decision again.
    scene.daemon.kill();
    scene.daemon.run().unwrap();
    assert_eq!(connection(&scene)["state"], "expired");
    assert_eq!(decide(&scene, &["request", "acme-web"])["state"], "pending-acceptance");
    decide(&scene, &["reject", "acme-web", "--reason", "not again"]);
    assert_eq!(connection(&scene)["reason"], "not again");
}

#[test]
fn an_undecided_request_expires() {
    let scene = Scene::with(&config("request_expiry = \"1s\"")).unwrap();
    wait_until(SOON, "the request has expired", || connection(&scene)["state"] == "expired")
        .unwrap();
    assert_eq!(connection(&scene)["by"], "rule");
    refused_at_once(&scene);
    decide(&scene, &["accept", "acme-web"]);
    everything_works(scene.acme()).unwrap();
}

#[test]
fn flows_from_before_a_rejection_drain() {
    let scene = Scene::with(&config("on_reject = { drain = \"60s\" }")).unwrap();
    decide(&scene, &["accept", "acme-web"]);
    let flow = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    client::tcp_exchange(&flow, 1_000, 1).unwrap();
    let rejected = decide(&scene, &["reject", "acme-web"]);
    assert_eq!((&rejected["state"], &rejected["draining"]), (&"rejected".into(), &true.into()));
    refused_at_once(&scene);
    client::tcp_exchange(&flow, 100_000, 2).unwrap();
}

#[test]
fn a_principal_that_is_no_longer_allowed_is_cut() {
    let scene = Scene::with(&config("accept = [\"acme\"]")).unwrap();
    everything_works(scene.acme()).unwrap();
    let flow = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    let without = config("").replacen("allow = [\"acme\", ", "allow = [", 1);
    scene.daemon.write_config(&without).unwrap();
    scene.daemon.ask(&["reload", "--json"]).unwrap();
    assert_eq!(connection(&scene)["state"], "rejected");
    flow.set_read_timeout(Some(NEVER)).unwrap();
    client::tcp_exchange(&flow, 1_000, 2).unwrap_err();
    refused_at_once(&scene);
    let error = tool::run(scene.daemon.cli().args(["accept", "acme-web"])).unwrap_err();
    assert!(error.to_string().contains("does not allow `acme`"), "{error}");
}

#[test]
fn chosen_addresses_work_and_stay() {
    let auto = config("accept = [\"acme\"]").replacen(
        "addresses = [\"10.1.0.50\", \"fd00:1::50\"]",
        "addresses = \"auto\"",
        1,
    );
    let mut scene = Scene::with(&auto).unwrap();
    let addresses = |scene: &Scene| {
        let endpoint = scene.daemon.ask(&["endpoints", "acme-web", "--json"]).unwrap();
        let addresses = endpoint["addresses"].as_array().unwrap().iter();
        addresses.map(|address| address.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let chosen = addresses(&scene);
    assert_eq!(chosen.len(), 2, "{chosen:?}");
    for address in &chosen {
        scene.acme().run(|| client::http_get(at(address, 80), SOON)).unwrap();
    }
    scene.daemon.kill();
    scene.daemon.run().unwrap();
    assert_eq!(addresses(&scene), chosen);
}

#[test]
fn mistakes_are_explained() {
    let mut scene = Scene::with(&config("")).unwrap();
    for (words, code, says) in [
        (vec!["accept", "acme-wbe"], 1, "did you mean `acme-web`?"),
        (vec!["connections", "nothing-like-it"], 1, "there is no endpoint `nothing-like-it`"),
        (vec!["request", "acme-web"], 1, "is pending-acceptance: only an expired one"),
        (vec!["accept", "acme-web", "--for", "soon"], 2, "such as 30m, 12h or 7d"),
        (vec!["reject", "acme-web", "--reason", "two\nlines"], 1, "one line"),
    ] {
        let output = scene.daemon.cli().args(&words).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
        assert!(error.contains(says), "{words:?}: {error}");
    }
    scene.daemon.terminate();
    let output = scene.daemon.cli().args(["accept", "acme-web"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}
