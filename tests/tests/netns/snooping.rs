//! Behind a switch that snoops on MLD, hosts reach the gateway's IPv6 addresses, with and without
//! a daemon.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{net::IpAddr, time::Duration};

use privatelink_tests::lab::{
    DEVICE, Daemon, Host, Lab, Namespace, Network, Provider, client, tool, wait_until,
};

use crate::fixture::{CONFIG, ENDPOINT, SOON, at, ip};

/// The endpoint's group, as `bridge mdb` prints it.
const GROUP: &str = "grp ff02::1:ff00:50 ";
/// The group of the first source address in the provider's network.
const SOURCE_GROUP: &str = "grp ff02::1:ff00:f0 ";
/// What the switch is set to: it asks every second, and forgets who does not answer for four.
const SNOOPING: &str = "mcast_snooping 1 mcast_querier 1 mcast_query_interval 100 \
    mcast_query_response_interval 50 mcast_startup_query_interval 50 mcast_membership_interval 400 \
    mcast_mld_version 2";
/// Longer than the switch remembers.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// Consumer and provider behind a switch each; `other` is on the consumer's.
fn lay() -> Lab {
    let addresses = ["10.1.0.3/16", "fd00:1::3/64"];
    let vendor = Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]);
    let lab = Lab::builder()
        .network(Network::consumer("acme").host("other", &addresses))
        .network(Network::consumer("globex"))
        .network(Network::consumer("initech"))
        .network(vendor.host("neighbour", &["10.0.0.11/16", "fd00::11/64"]))
        .build()
        .unwrap();
    for switch in ["acme-switch", "vendor-switch"] {
        named(&lab, switch).ip(&format!("link set bridge0 type bridge {SNOOPING}")).unwrap();
    }
    lab
}

fn named<'a>(lab: &'a Lab, role: &str) -> &'a Namespace {
    lab.namespaces().find(|namespace| namespace.name().ends_with(role)).unwrap()
}

/// Whether the switch has heard of a listener on the gateway's port.
fn is_listener(switch: &Namespace, group: &str) -> bool {
    let table = tool::run(switch.command("bridge").args(["mdb", "show"])).unwrap();
    table.lines().any(|line| line.contains("port uplink ") && line.contains(group))
}

/// Whether the switch forwards to listeners only.
fn snoops(switch: &Namespace) -> bool {
    let query = ["-d", "-s", "link", "show", "bridge0"];
    let shown = tool::run(switch.command("ip").args(query)).unwrap();
    shown.contains("mcast_querier 1")
}

/// Asks for the endpoint's Ethernet address anew, pings it, and exchanges bytes over it.
fn reaches_endpoint(host: &Host) -> bool {
    host.namespace().ip(&format!("neigh flush dev {DEVICE}")).unwrap();
    let mut ping = host.command("ping");
    let ping = tool::run(ping.args(["-6", "-c", "1", "-W", "2", ENDPOINT[1]]));
    let echo = || client::tcp_echo(at(ENDPOINT[1], 7), 1_000, 1, SOON);
    ping.is_ok() && host.run(|| echo().map(drop)).is_ok()
}

#[test]
fn a_switch_that_snoops_forwards_requests_with_and_without_a_daemon() {
    let lab = lay();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let mut daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    let (acme, vendor) = (named(&lab, "acme-switch"), named(&lab, "vendor-switch"));
    assert!(snoops(acme) && snoops(vendor));
    for (switch, group) in [(acme, GROUP), (vendor, SOURCE_GROUP)] {
        wait_until(SOON, "the switch has heard of the listener", || is_listener(switch, group))
            .unwrap();
    }
    wait_until(SOON, "the endpoint is reached", || reaches_endpoint(lab.host("other"))).unwrap();

    daemon.kill();
    // The switch must not have learnt of the group from before: it forgets all.
    let forget = "link set bridge0 type bridge mcast_snooping";
    for switch in [acme, vendor] {
        switch.ip(&format!("{forget} 0")).unwrap();
        switch.ip(&format!("{forget} 1")).unwrap();
    }
    for (switch, group) in [(acme, GROUP), (vendor, SOURCE_GROUP)] {
        wait_until(FORGOTTEN, "the listener answers the querier", || is_listener(switch, group))
            .unwrap();
    }
    assert!(!is_listener(acme, "grp ff02::1:ff00:77 "));
    for host in ["acme", "other"] {
        let what = "the endpoint is reached without a daemon";
        wait_until(SOON, what, || reaches_endpoint(lab.host(host))).unwrap();
    }

    daemon.run().unwrap();
    let place = "neigh show proxy dev veth-acme";
    assert!(lab.gateway().ip(place).unwrap().contains(ENDPOINT[1]));
    let address: IpAddr = ip(ENDPOINT[1]);
    let without = CONFIG.replacen(&format!("\"{address}\""), "\"fd00:1::51\"", 1);
    crate::fixture::reload(&daemon, &without).unwrap();
    wait_until(SOON, "the group of an address that is gone is left", || {
        let proxies = lab.gateway().ip(place).unwrap();
        !proxies.contains(ENDPOINT[1]) && proxies.contains("fd00:1::51")
    })
    .unwrap();
    daemon.down().unwrap();
    assert_eq!(lab.gateway().ip("neigh show proxy").unwrap().trim(), "");
}
