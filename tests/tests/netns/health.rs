//! Whether the gateway finds out which targets serve.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use privatelink_tests::lab::{Daemon, Lab, Network, Provider, wait_until};
use serde_json::Value;

use crate::fixture::SOON;

const CONFIG: &str = include_str!("health.toml");

/// Networks of two vendors and a consumer; `maker` is the gateway's own address at the maker's.
fn lay(maker: &[&str]) -> Lab {
    let lab = Lab::builder()
        .network(Network::consumer("acme"))
        .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
        .network(Network::provider("maker").gateway(maker));
    lab.build().unwrap()
}

/// What the daemon tells of a service's target: its health, and why.
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
fn each_target_is_asked_in_its_own_network() {
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
    assert_eq!(daemon.status().unwrap()["problems"], Value::Array(Vec::new()));
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
