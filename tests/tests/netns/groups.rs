//! Targets with ports of their own, and groups of them that listeners lead to by share.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::collections::BTreeMap;

use privatelink_tests::lab::{Daemon, Lab, Network, Provider, client, provider::Kind, wait_until};

use crate::fixture::{SOON, at, ip, reload};

const CONFIG: &str = include_str!("targets.toml");
const WEB: &str = "10.1.0.50";
const TARGETS: [(&str, u16, &str); 3] =
    [("10.0.0.10", 8443, "blue"), ("10.0.0.11", 8444, "blue"), ("10.0.0.12", 18443, "green")];

/// Port 80 leads to both groups by these shares, port 7 to the green one.
fn config(blue: u16, green: u16) -> String {
    let targets = TARGETS.map(|(address, port, group)| {
        format!("{{ address = \"{address}\", port = {port}, group = \"{group}\" }}")
    });
    let shares = format!("target_port = 8080\ngroup = {{ blue = {blue}, green = {green} }}");
    CONFIG
        .replacen("# targets", &format!("target = [{}]", targets.join(", ")), 1)
        .replacen("target_port = 8080", &shares, 1)
        .replacen("target_port = 7777", "target_port = 7777\ngroup = \"green\"", 1)
        .replacen(", port = 9000", "", 1)
}

/// How many of so many requests each target answered.
fn answers(lab: &Lab, daemon: &Daemon, count: u64) -> BTreeMap<String, u64> {
    let before = opened(daemon);
    for _ in 0..count {
        assert_eq!(
            lab.host("acme").run(|| client::http_get(at(WEB, 80), SOON)).unwrap().status,
            200
        );
    }
    let mut after = BTreeMap::new();
    wait_until(SOON, "all are counted", || {
        after = opened(daemon);
        let new: u64 = after.values().sum::<u64>() - before.values().sum::<u64>();
        new == count
    })
    .unwrap();
    after.into_iter().map(|(target, new)| (target.clone(), new - before[&target])).collect()
}

/// The requests that each target's server has seen.
fn opened(daemon: &Daemon) -> BTreeMap<String, u64> {
    let log = daemon.ask(&["flows", "--json"]).unwrap();
    let mut seen: BTreeMap<String, u64> =
        TARGETS.iter().map(|(address, port, _)| (format!("{address}:{port}"), 0)).collect();
    for flow in log.as_array().unwrap() {
        let target = flow["target"].as_str().unwrap().to_owned();
        *seen.get_mut(&target).unwrap_or_else(|| panic!("a flow to {target}")) += 1;
    }
    seen
}

#[test]
fn listeners_lead_to_groups_by_share_and_targets_answer_on_their_ports() {
    let addresses = TARGETS.map(|(address, ..)| format!("{address}/16"));
    let addresses = addresses.each_ref().map(String::as_str);
    let vendor = Network::new("vendor").host("vendor", &addresses).gateway(&["10.0.0.1/16"]);
    let lab = Lab::builder().network(Network::consumer("acme")).network(vendor).build().unwrap();
    let namespace = lab.host("vendor").namespace();
    let serve = |(address, port, _): (&str, u16, &str)| {
        Provider::at(namespace, &[ip(address)], &[(Kind::Http, port)]).unwrap()
    };
    let mut servers = TARGETS.map(serve).map(Some);
    let daemon = Daemon::start(lab.gateway(), &config(50, 50)).unwrap();
    let health = |daemon: &Daemon, address: &str| {
        let targets = daemon.ask(&["targets", "web", "--json"]).unwrap();
        let all = targets.as_array().unwrap().clone();
        let of = all.into_iter().find(|target| target["address"] == address).unwrap();
        (of["health"].as_str().unwrap().to_owned(), of["port"].as_u64().unwrap())
    };
    let becomes = |daemon: &Daemon, address: &str, word: &str| {
        wait_until(SOON, word, || health(daemon, address).0 == word).unwrap();
    };
    // Each is checked where it serves.
    for (address, port, _) in TARGETS {
        becomes(&daemon, address, "healthy");
        assert_eq!(health(&daemon, address).1, u64::from(port));
    }
    let seen = answers(&lab, &daemon, 120);
    let green = seen["10.0.0.12:18443"];
    assert!((40..=80).contains(&green), "{seen:?}");
    assert!(seen.values().all(|count| *count > 10), "{seen:?}");
    let page = || lab.host("acme").run(|| client::http_get(at(WEB, 7), SOON));
    for _ in 0..10 {
        assert_eq!(page().unwrap().status, 200);
    }
    assert_eq!(opened(&daemon)["10.0.0.12:18443"], green + 10, "port 7 is for the green ones");
    // A group keeps its share while some of it is healthy.
    servers[0] = None;
    becomes(&daemon, "10.0.0.10", "unhealthy");
    let seen = answers(&lab, &daemon, 80);
    assert_eq!(seen["10.0.0.10:8443"], 0);
    assert!((24..=56).contains(&seen["10.0.0.12:18443"]), "{seen:?}");
    // Without a share it gets nothing, and the rest goes on.
    reload(&daemon, &config(0, 1)).unwrap();
    let seen = answers(&lab, &daemon, 20);
    assert_eq!(seen["10.0.0.12:18443"], 20, "{seen:?}");
}
