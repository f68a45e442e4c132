//! How long clients are affected when a target dies, with the default health check.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use privatelink_tests::lab::{DEVICE, Daemon, Lab, Provider, client, wait_until};

use crate::{
    discovery::{CONFIG, lay},
    fixture::{SOON, at},
};

/// A page that takes longer counts as lost.
const PATIENCE: Duration = Duration::from_millis(300);
/// Clients at a time.
const CLIENTS: usize = 6;
/// Successful pages in a row that end an outage: half of them would go to the dead target.
const WELL: u32 = 60;
/// Without the evidence of flows it would take from ten to twenty seconds; a busy machine needs
/// some time too.
const EARLY: Duration = Duration::from_secs(5);

/// Two targets with the default times of checks.
fn start(lab: &Lab) -> Daemon {
    start_with(lab, "")
}

/// The same with further keys of the check.
fn start_with(lab: &Lab, when: &str) -> Daemon {
    let targets = "target = [{ address = \"10.0.0.10\" }, { address = \"10.0.0.11\" }]";
    let config = CONFIG
        .replace("# TARGETS", targets)
        .replace(", interval = \"500ms\", timeout = \"400ms\"", when);
    assert!(config.contains(&format!("path = \"/\"{when} }}")));
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let page = || lab.host("acme").run(|| client::http_get(at("10.1.0.50", 80), SOON));
    wait_until(SOON, "both serve", || (0..16).all(|_| page().is_ok())).unwrap();
    daemon
}

/// Fetches pages with several clients until each has recovered, and returns when the last lost page
/// was requested.
fn outage(lab: &Lab) -> Duration {
    let begin = Instant::now();
    let client = || {
        let (mut last, mut well) = (Duration::ZERO, 0);
        while well < WELL && begin.elapsed() < SOON {
            let asked = begin.elapsed();
            if client::http_get(at("10.1.0.50", 80), PATIENCE).is_ok() {
                well += 1;
            } else {
                (last, well) = (asked, 0);
            }
        }
        assert_eq!(well, WELL, "a client never found the other target");
        Ok(last)
    };
    let acme = lab.host("acme");
    thread::scope(|scope| {
        let clients = [(); CLIENTS].map(|()| scope.spawn(|| acme.run(client).unwrap()));
        clients.map(|client| client.join().unwrap()).into_iter().max().unwrap()
    })
}

#[test]
fn a_targets_process_dies_under_load() {
    let lab = lay();
    let first = Provider::start(lab.host("first")).unwrap();
    let _second = Provider::start(lab.host("second")).unwrap();
    let _daemon = start(&lab);
    drop(first);
    let outage = outage(&lab);
    println!("process: the last lost page was requested after {outage:?}");
    assert!(outage < EARLY, "{outage:?}");
}

#[test]
fn a_targets_host_dies_under_load() {
    let lab = lay();
    let _first = Provider::start(lab.host("first")).unwrap();
    let _second = Provider::start(lab.host("second")).unwrap();
    let _daemon = start(&lab);
    lab.host("first").namespace().ip(&format!("link set {DEVICE} down")).unwrap();
    let outage = outage(&lab);
    println!("host: the last lost page was requested after {outage:?}");
    assert!(outage < EARLY, "{outage:?}");
}

/// How long it takes to detect a dead target without clients.
fn detected(daemon: &Daemon, address: &str) -> Duration {
    let begin = Instant::now();
    wait_until(SOON, "the target is unhealthy", || {
        let targets = daemon.ask(&["targets", "web", "--json"]).unwrap();
        let mut targets = targets.as_array().into_iter().flatten();
        targets.any(|one| one["address"] == address && one["health"] == "unhealthy")
    })
    .unwrap();
    begin.elapsed()
}

/// Only checks detect it, so it takes up to one and a half intervals, and the timeout if
/// the target is silent.
#[test]
fn a_dead_target_is_noticed_within_two_intervals_without_clients() {
    let interval = Duration::from_secs(4);
    let lab = lay();
    let first = Provider::start(lab.host("first")).unwrap();
    let second = Provider::start(lab.host("second")).unwrap();
    let daemon = start_with(&lab, ", interval = \"4s\", timeout = \"1s\"");
    drop(first);
    let refused = detected(&daemon, "10.0.0.10");
    // From then on no client reaches it.
    let page = || lab.host("acme").run(|| client::http_get(at("10.1.0.50", 80), SOON));
    // The list says it a moment before the maps do.
    let moment = Duration::from_secs(1);
    wait_until(moment, "only the other serves", || (0..16).all(|_| page().is_ok())).unwrap();

    drop(second);
    let mute = || Ok(TcpListener::bind(at("10.0.0.11", 8080))?);
    let _mute = lab.host("second").run(mute).unwrap();
    let silent = detected(&daemon, "10.0.0.11");
    println!("unhealthy after {refused:?} (refuses) and {silent:?} (silent) of {interval:?}");
    assert!(refused < 2 * interval && silent < 2 * interval, "{refused:?} {silent:?}");
}
