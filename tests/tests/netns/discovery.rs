//! Targets with DNS names, and targets in files of other programs.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{fs, net::IpAddr, path::Path};

use privatelink_tests::lab::{Daemon, Lab, NameServer, Network, Provider, client, wait_until};
use tempfile::TempDir;

use crate::fixture::{SOON, at, ip};

/// One consumer, and one vendor whose targets the test chooses.
pub const CONFIG: &str = include_str!("discovery.toml");
const ENDPOINT: &str = "10.1.0.50";

/// Two servers of a vendor, the first of which has a name server too, and one of a consumer.
pub fn lay() -> Lab {
    let vendor = Network::new("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]);
    let vendor = vendor.host("first", &["10.0.0.10/16", "fd00::10/64"]);
    let vendor = vendor.host("second", &["10.0.0.11/16", "fd00::11/64"]);
    let lab = Lab::builder().network(Network::consumer("acme")).network(vendor);
    lab.build().unwrap()
}

fn addresses(daemon: &Daemon) -> Vec<(String, String)> {
    let targets = daemon.ask(&["targets", "web", "--json"]).unwrap();
    let text =
        |target: &serde_json::Value, key| target[key].as_str().unwrap_or_default().to_owned();
    let targets = targets.as_array().cloned().unwrap_or_default();
    targets.iter().map(|target| (text(target, "address"), text(target, "health"))).collect()
}

/// Waits until exactly these targets get new flows.
fn wait_for(daemon: &Daemon, expected: &[&str]) {
    let mut last = Vec::new();
    let waited = wait_until(SOON, "the targets are those", || {
        last = addresses(daemon);
        let serving = last.iter().filter(|(_, health)| health == "healthy");
        serving.map(|(address, _)| address.as_str()).eq(expected.iter().copied())
    });
    waited.unwrap_or_else(|error| panic!("{error} {expected:?}, but {last:?}"));
}

/// Fetches pages, and checks which of the providers served them.
fn served_by(lab: &Lab, providers: &[(&Provider, bool)]) {
    // The daemon reports a target a moment before packets reach it.
    wait_until(SOON, "a page comes", || {
        lab.host("acme").run(|| client::http_get(at(ENDPOINT, 80), SOON)).is_ok()
    })
    .unwrap();
    let before: Vec<usize> = providers.iter().map(|(one, _)| one.seen().len()).collect();
    for _ in 0..24 {
        let page = lab.host("acme").run(|| client::http_get(at(ENDPOINT, 80), SOON)).unwrap();
        assert_eq!(page.status, 200);
    }
    for ((provider, serves), before) in providers.iter().zip(before) {
        let heard = provider
            .seen()
            .iter()
            .skip(before)
            .any(|seen| !["10.0.0.1", "fd00::1"].map(ip).contains(&seen.peer.ip()));
        assert_eq!(heard, *serves);
    }
}

fn problems(daemon: &Daemon) -> String {
    daemon.status().unwrap()["problems"].to_string()
}

fn wait_for_problem(daemon: &Daemon, text: &str) {
    // A name server that does not answer is queried several times.
    wait_until(6 * SOON, text, || problems(daemon).contains(text))
        .unwrap_or_else(|error| panic!("{error}: {}", problems(daemon)));
}

#[test]
fn targets_follow_the_addresses_of_a_name() {
    let lab = lay();
    let first = Provider::start(lab.host("first")).unwrap();
    let second = Provider::start(lab.host("second")).unwrap();
    let names = NameServer::start(lab.host("first").namespace(), ip("10.0.0.10")).unwrap();
    let set = |addresses: &[&str]| {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| ip(address)).collect();
        names.set("db.internal", &addresses);
    };
    set(&["10.0.0.10"]);
    let config = CONFIG.replace(
        "# TARGETS",
        "target = [{ address = \"DB.internal\" }]\nresolvers = [\"10.0.0.10\"]",
    );
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    wait_for(&daemon, &["10.0.0.10"]);
    served_by(&lab, &[(&first, true), (&second, false)]);

    set(&["10.0.0.10", "10.0.0.11", "fd00::11", "10.9.0.1"]);
    wait_for(&daemon, &["10.0.0.10", "10.0.0.11", "fd00::11"]);
    wait_for_problem(&daemon, "db.internal has the address 10.9.0.1: it is in no subnet");
    served_by(&lab, &[(&first, true), (&second, true)]);

    set(&["10.0.0.11"]);
    wait_for(&daemon, &["10.0.0.11"]);
    served_by(&lab, &[(&first, false), (&second, true)]);

    // Addresses that can no longer be resolved stay.
    drop(names);
    wait_for_problem(&daemon, "cannot resolve db.internal");
    wait_for(&daemon, &["10.0.0.11"]);
    served_by(&lab, &[(&first, false), (&second, true)]);
}

/// Replaces a file as careful programs do.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, file).unwrap();
}

#[test]
fn a_file_of_another_program_lists_the_targets() {
    let lab = lay();
    let first = Provider::start(lab.host("first")).unwrap();
    let second = Provider::start(lab.host("second")).unwrap();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("targets.toml");
    let config =
        CONFIG.replace("# TARGETS", &format!("targets_file = {:?}", file.to_str().unwrap()));
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    wait_for_problem(&daemon, "No such file or directory");
    replace(&file, "[[target]]\naddress = \"10.0.0.10\"\n");
    wait_for(&daemon, &["10.0.0.10"]);
    served_by(&lab, &[(&first, true), (&second, false)]);
    assert_eq!(problems(&daemon), "[]");

    // An incomplete file changes nothing.
    fs::write(&file, "[[target]]\naddress = \"10.0.").unwrap();
    wait_for_problem(&daemon, "targets.toml:2:");
    wait_for(&daemon, &["10.0.0.10"]);
    fs::write(&file, "").unwrap();
    wait_for_problem(&daemon, "the list has no `target`");
    wait_for(&daemon, &["10.0.0.10"]);

    replace(&file, "[[target]]\naddress = \"10.0.0.11\"\nweight = 7\n");
    wait_for(&daemon, &["10.0.0.11"]);
    served_by(&lab, &[(&first, false), (&second, true)]);
    assert_eq!(problems(&daemon), "[]");
}
