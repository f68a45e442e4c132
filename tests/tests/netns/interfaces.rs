//! Interfaces that are added, removed and changed, and programs that are detached or attached by
//! others.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{fs, time::Duration};

use privatelink_tests::lab::{
    DEVICE, Network, client,
    network::{self, interface_of},
    wait_until,
};
use privatelink_user::datapath::bpf::{Datapath, Mode};
use serde_json::Value;

use crate::fixture::{ENDPOINT, SOON, Scene, at, everything_works};

/// The daemon notices within this time: it polls every two seconds what no message reports.
const NOTICED: Duration = Duration::from_secs(20);

/// Hosts replace an Ethernet address that no longer answers within this time: a stale one is used
/// for five seconds, then probed three times, before the host broadcasts.
const LEARNT: Duration = Duration::from_secs(60);

impl Scene {
    fn network(&self, name: &str) -> Value {
        self.daemon.ask(&["networks", name, "--json"]).unwrap()
    }

    fn problems(&self) -> String {
        self.daemon.status().unwrap()["problems"].to_string()
    }

    fn wait_for_problem(&self, text: &str) {
        wait_until(NOTICED, text, || self.problems().contains(text)).unwrap();
    }

    /// Waits until everything works and no problem is left.
    fn wait_until_well(&self) {
        wait_until(NOTICED, "no problem is left", || self.problems() == "[]").unwrap();
        let mut last = Ok(());
        let waited = wait_until(LEARNT, "everything works", || {
            last = everything_works(self.acme());
            last.is_ok()
        });
        last.and(waited).unwrap();
    }
}

#[test]
fn an_interface_may_be_removed_and_added_again() {
    let scene = Scene::start().unwrap();
    let interface = interface_of("vendor");
    let before = scene.network("vendor")["ifindex"].clone();
    scene.lab.gateway().ip(&format!("link del {interface}")).unwrap();
    scene.wait_for_problem(&format!("there is no interface {interface}"));
    assert!(scene.network("vendor")["xdp_mode"].is_null());

    let vendor = Network::provider("vendor");
    let host = scene.lab.host("vendor").namespace();
    network::cable((scene.lab.gateway(), &interface), (host, DEVICE), &vendor).unwrap();
    network::behave_like_a_wire(host, DEVICE).unwrap();
    let addresses = ["10.0.0.10/16", "fd00::10/64"].map(str::to_owned);
    network::address(host, DEVICE, &addresses).unwrap();
    let addresses = ["10.0.0.1/16", "fd00::1/64"].map(str::to_owned);
    network::address(scene.lab.gateway(), &interface, &addresses).unwrap();
    scene.wait_until_well();
    assert_ne!(scene.network("vendor")["ifindex"], before);
    assert_eq!(scene.network("vendor")["xdp_mode"], "native");
}

#[test]
fn an_interface_may_be_renamed() {
    let scene = Scene::start().unwrap();
    let rename = |from: &str, to: &str| {
        for words in [format!("{from} down"), format!("{from} name {to}"), format!("{to} up")] {
            scene.lab.gateway().ip(&format!("link set {words}")).unwrap();
        }
    };
    let interface = interface_of("acme");
    rename(&interface, "elsewhere");
    scene.wait_for_problem(&format!("there is no interface {interface}"));
    rename("elsewhere", &interface);
    // An interface that goes down loses its IPv6 address.
    let own = ["fd00:1::1/64".to_owned()];
    network::address(scene.lab.gateway(), &interface, &own).unwrap();
    scene.wait_until_well();
}

#[test]
fn flows_survive_a_change_of_mac_and_mtu() {
    let scene = Scene::start().unwrap();
    let flow = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    client::tcp_exchange(&flow, 10_000, 1).unwrap();
    for (name, mac) in [("acme", "02:00:00:00:aa:01"), ("vendor", "02:00:00:00:aa:02")] {
        let interface = interface_of(name);
        scene.lab.gateway().ip(&format!("link set {interface} address {mac}")).unwrap();
        scene.lab.host(name).namespace().ip(&format!("link set {DEVICE} mtu 2000")).unwrap();
        scene.lab.gateway().ip(&format!("link set {interface} mtu 2000")).unwrap();
        wait_until(NOTICED, "the daemon knows the new address and size", || {
            let network = scene.network(name);
            network["mac"] == mac && network["mtu"] == 2000
        })
        .unwrap();
    }
    client::tcp_exchange(&flow, 100_000, 2).unwrap();
    scene.wait_until_well();
}

#[test]
fn a_detached_program_is_attached_again() {
    let scene = Scene::start().unwrap();
    let flow = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    client::tcp_exchange(&flow, 10_000, 1).unwrap();
    // Without its last reference, the kernel detaches the program.
    let links = scene.daemon.pin_dir().join("links");
    let pins: Vec<_> = fs::read_dir(&links).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(pins.len(), 4);
    for pin in &pins {
        fs::remove_file(pin).unwrap();
    }
    wait_until(NOTICED, "all are attached again", || {
        fs::read_dir(&links).is_ok_and(|entries| entries.count() == pins.len())
    })
    .unwrap();
    client::tcp_exchange(&flow, 10_000, 2).unwrap();
    scene.wait_until_well();
    let output = scene.daemon.output();
    assert!(output.contains("removed the XDP program from"), "{output}");
}

#[test]
fn a_foreign_program_is_reported_and_left_alone() {
    let mut scene = Scene::start().unwrap();
    let ifindex = scene.network("acme")["ifindex"].as_u64().unwrap().try_into().unwrap();
    let interface = interface_of("acme");
    scene.daemon.kill();
    fs::remove_file(scene.daemon.pin_dir().join(format!("links/{ifindex}"))).unwrap();
    let gateway = scene.lab.gateway().clone();
    let other = Datapath::unpinned(1, None).unwrap();
    // The kernel detaches the old one with some delay.
    wait_until(NOTICED, "the other program is attached", || {
        gateway.run(|| Ok(other.attach(ifindex, &interface, Mode::XDP)?)).is_ok()
    })
    .unwrap();
    scene.daemon.run().unwrap();
    scene.wait_for_problem(&format!("{interface} has XDP program"));
    assert!(scene.network("acme")["xdp_mode"].is_null());
    everything_works(scene.lab.host("globex")).unwrap();
    drop(other);
    scene.wait_until_well();
}
