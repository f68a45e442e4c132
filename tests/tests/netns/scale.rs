//! Many endpoints: start and reload stay quick, and a small change stays small.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use privatelink_tests::lab::{Daemon, Lab, Provider, client, tool};
use serde_json::Value;

use crate::fixture::{SOON, at, lay, many_services};

const SERVICES: u32 = 1_000;
const ENDPOINTS: u32 = 10_000;

/// A build without optimizations on a busy machine takes many times as long as the goals of 5 s
/// and 500 ms; what this catches is work that grows with the square of the configuration.
const START: Duration = Duration::from_secs(60);
const RELOAD: Duration = Duration::from_secs(15);
/// The same for the goal of 200 ms.
const SCRAPE: Duration = Duration::from_secs(5);

/// Many services at one target, and endpoints to them.
fn config() -> String {
    let keys = "acceptance = \"automatic\"\nallow = [\"*\"]\n\
                listener = [{ protocol = \"tcp\", port = 7, target_port = 7777 }]";
    let mut text = many_services("metrics = \"127.0.0.1:9469\"", SERVICES, keys);
    for endpoint in 0..ENDPOINTS {
        writeln!(
            text,
            "[[endpoint]]\nname = \"e{endpoint}\"\nservice = \"s{}\"\nnetwork = \"acme\"\n\
             addresses = [\"{}\"]",
            endpoint % SERVICES,
            address(endpoint)
        )
        .unwrap();
    }
    text
}

fn address(endpoint: u32) -> String {
    format!("10.1.{}.{}", 1 + endpoint / 200, 1 + endpoint % 200)
}

/// Reloads, and returns what changed and how long it took.
fn reload(daemon: &Daemon) -> (Value, Duration) {
    let begin = Instant::now();
    (daemon.ask(&["reload", "--json"]).unwrap(), begin.elapsed())
}

/// Scrapes, checks that each endpoint is there, and returns how long curl took.
fn scrape(lab: &Lab) -> Duration {
    let mut command = lab.gateway().command("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60"]);
    command.args(["--write-out", "%{time_total}", "http://127.0.0.1:9469/metrics"]);
    let text = tool::run(&mut command).unwrap();
    let (page, seconds) = text.rsplit_once('\n').unwrap();
    let flows = page.matches("privatelink_endpoint_active_flows{").count();
    assert_eq!(flows, ENDPOINTS as usize, "of {} bytes", page.len());
    Duration::from_secs_f64(seconds.parse().unwrap())
}

#[test]
fn ten_thousand_endpoints_start_and_reload_quickly() {
    let lab = lay().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let begin = Instant::now();
    let config = config();
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let start = begin.elapsed();
    let (same, unchanged) = reload(&daemon);
    assert_eq!(same["entries"], 0, "{same}");
    daemon.write_config(&config.replacen(&address(5_000), "10.1.250.1", 1)).unwrap();
    let (one, changed) = reload(&daemon);
    // The endpoint's record, its new address and its old one.
    assert_eq!((&one["entries"], one["changes"].as_array().unwrap().len()), (&3.into(), 1));
    println!("start {start:?}, unchanged reload {unchanged:?}, one endpoint {changed:?}");
    assert!(start < START && unchanged < RELOAD && changed < RELOAD);
    let mut scrapes: Vec<Duration> = (0..5).map(|_| scrape(&lab)).collect();
    scrapes.sort_unstable();
    println!("scrapes {scrapes:?}");
    assert!(scrapes[0] < SCRAPE, "{scrapes:?}");
    for to in ["10.1.250.1".to_owned(), address(0), address(ENDPOINTS - 1)] {
        lab.host("acme").run(|| client::tcp_echo(at(&to, 7), 10_000, 1, SOON)).unwrap();
    }
}
