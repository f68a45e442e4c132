//! Many endpoints: a reload writes only what changed, and its work grows with the configuration,
//! not with its square. `cargo xtask bench --control-plane` measures the times.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::time::Duration;

use privatelink_tests::lab::{Daemon, Lab, Provider, TOKEN, client, many, tool};
use serde_json::Value;

use crate::fixture::{SOON, at, lay};

const ENDPOINTS: u32 = 10_000;
/// A tenth of the endpoints, to compare with.
const FEWER: u32 = ENDPOINTS / 10;
/// How many times the CPU time of a reload may grow with ten times the endpoints. Work that grows
/// with their square would take a hundred times as much.
const GROWTH: f64 = 30.0;

fn config(endpoints: u32) -> String {
    many::endpoints("max_flows = 4096\nmetrics = \"127.0.0.1:9469\"", endpoints)
}

fn reload(daemon: &Daemon) -> Value {
    daemon.ask(&["reload", "--json"]).unwrap()
}

/// The daemon's CPU time for a reload that changes one endpoint's address, and for one that changes
/// nothing; checks what each writes.
fn reloads(daemon: &Daemon, endpoints: u32) -> Duration {
    let before = daemon.cpu_time().unwrap();
    let same = reload(daemon);
    assert_eq!(same["entries"], 0, "{same}");
    let moved = many::address(endpoints / 2);
    daemon.write_config(&config(endpoints).replacen(&moved, "10.1.250.1", 1)).unwrap();
    let one = reload(daemon);
    // The endpoint's record, its new address and its old one.
    assert_eq!((&one["entries"], one["changes"].as_array().unwrap().len()), (&3.into(), 1));
    daemon.cpu_time().unwrap() - before
}

/// Checks that each endpoint has a series in the metrics.
fn scrape(lab: &Lab) {
    let mut command = lab.gateway().command("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "60"]);
    command.args(["--header", &format!("authorization: Bearer {TOKEN}")]);
    let page = tool::run(command.arg("http://127.0.0.1:9469/metrics")).unwrap();
    let flows = page.matches("privatelink_endpoint_active_flows{").count();
    assert_eq!(flows, ENDPOINTS as usize, "of {} bytes", page.len());
}

#[test]
fn the_work_of_a_reload_grows_with_the_number_of_endpoints() {
    let lab = lay().unwrap();
    let fewer = Daemon::start(lab.gateway(), &config(FEWER)).unwrap();
    let few = reloads(&fewer, FEWER);
    drop(fewer);
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let daemon = Daemon::start(lab.gateway(), &config(ENDPOINTS)).unwrap();
    let many = reloads(&daemon, ENDPOINTS);
    assert!(
        many.as_secs_f64() < few.as_secs_f64() * GROWTH,
        "{FEWER} endpoints took {few:?} of CPU time, {ENDPOINTS} took {many:?}"
    );
    scrape(&lab);
    for to in ["10.1.250.1".to_owned(), many::address(0), many::address(ENDPOINTS - 1)] {
        lab.host("acme").run(|| client::tcp_echo(at(&to, 7), 10_000, 1, SOON)).unwrap();
    }
}
