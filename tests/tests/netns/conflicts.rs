//! Another host uses an address of the gateway: it is noticed, said, and the address is defended.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::time::SystemTime;

use privatelink_tests::lab::{
    Capture, DEVICE, Daemon, Lab, Network, Provider, ethernet_address, wait_until,
};
use privatelink_user::datapath::{bpf::FrameSender, frames::announce::frame};
use tempfile::TempDir;

use crate::fixture::{CONFIG, ENDPOINT, SOON, everything_works, ip};

fn lay() -> Lab {
    let addresses = ["10.1.0.3/16", "fd00:1::3/64"];
    Lab::builder()
        .network(Network::consumer("acme").host("other", &addresses))
        .network(Network::consumer("globex"))
        .network(Network::consumer("initech"))
        .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
        .build()
        .unwrap()
}

fn problems(daemon: &Daemon) -> String {
    daemon.status().unwrap()["problems"].to_string()
}

/// The Ethernet address of a host.
fn mac_of(lab: &Lab, host: &str) -> String {
    let shown = lab.host(host).namespace().ip(&format!("-o link show {DEVICE}")).unwrap();
    let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
    words.nth(1).unwrap().to_owned()
}

/// Gives a host the endpoint's addresses.
fn take(lab: &Lab) {
    for (address, length) in ENDPOINT.into_iter().zip([16, 64]) {
        let nodad = if length == 64 { " nodad" } else { "" };
        let words = format!("address add {address}/{length} dev {DEVICE}{nodad}");
        lab.host("other").namespace().ip(&words).unwrap();
    }
}

#[test]
fn a_host_that_has_an_address_already_is_found_by_a_probe() {
    let lab = lay();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    take(&lab);
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    let mac = mac_of(&lab, "other");
    wait_until(SOON, "both conflicts are problems", || {
        let problems = problems(&daemon);
        ENDPOINT.iter().all(|address| problems.contains(&format!("{mac}, uses {address},")))
    })
    .unwrap();
    let events = daemon.ask(&["events", "--kind", "address-conflict", "--json"]).unwrap();
    assert_eq!(events[0]["network"], "acme", "{events}");
}

#[test]
fn a_host_that_announces_an_address_is_noticed_and_answered() {
    let lab = lay();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    everything_works(lab.host("acme")).unwrap();
    assert_eq!(problems(&daemon), "[]");
    let directory = TempDir::new().unwrap();
    let (acme, since) = (lab.host("acme").namespace(), SystemTime::now());
    let capture = Capture::start(acme, DEVICE, &directory).unwrap();
    let mac = mac_of(&lab, "other");
    let announcement = frame(ethernet_address(&mac).unwrap(), 0, ip(ENDPOINT[0]));
    let announce = || {
        let ifindex = nix::net::if_::if_nametoindex(DEVICE)?;
        Ok(FrameSender::open()?.send(ifindex, &announcement)?)
    };
    lab.host("other").run(announce).unwrap();
    wait_until(SOON, "the conflict is a problem", || {
        problems(&daemon).contains(&format!("{mac}, uses {}", ENDPOINT[0]))
    })
    .unwrap();
    let gateway = lab.gateway_mac("acme");
    let is_defence = |line: &str| {
        line.contains(&format!("{gateway} > ff:ff:ff:ff:ff:ff")) && line.contains("ARP")
    };
    wait_until(SOON, "the address is defended", || {
        capture.summary().is_ok_and(|text| text.lines().any(is_defence))
    })
    .unwrap();
    let defence = format!("arp and ether src {gateway} and ether dst ff:ff:ff:ff:ff:ff");
    let (defences, _) = capture.split(&defence, since).unwrap();
    assert_eq!(defences, 1, "once in ten seconds");
}
