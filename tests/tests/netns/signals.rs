//! What one host says, or forges, of a flow stays with that flow.

use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
    time::Duration,
};

use anyhow::Result;
use nix::sys::socket::{getsockopt, sockopt};
use privatelink_tests::lab::{Host, client, tool, wait_until};

use crate::fixture::{CLIENT, ENDPOINT, SOON, Scene, at};

/// Debian's packages belong to Debian's Python, which may not be the first in the path.
const PYTHON: &str = "/usr/bin/python3";

/// The longest time until an end has been asked: two seconds of silence, and a sweep.
const ASKED: Duration = Duration::from_secs(20);

/// Sends a forged packet from a host of this network.
fn forge(scene: &Scene, network: &str, kind: &str, from: SocketAddr, to: SocketAddr) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/signals.py");
    let words = |end: SocketAddr| [end.ip().to_string(), end.port().to_string()];
    let host: &Host = scene.lab.host(network);
    let mut command = host.command(PYTHON);
    command.arg(script).args(["eth0", scene.lab.gateway_mac(network), kind]);
    tool::run(command.args(words(from)).args(words(to)))?;
    Ok(())
}

/// The target would believe it of all consumers, who share the source address.
#[test]
fn a_forged_report_of_a_small_path_does_not_reach_the_target() {
    let scene = Scene::start().unwrap();
    for (round, (endpoint, own)) in (1..).zip(ENDPOINT.into_iter().zip(CLIENT)) {
        let client = scene.acme().run(|| Ok(UdpSocket::bind(at(own, 20_777))?)).unwrap();
        client.connect(at(endpoint, 7)).unwrap();
        client::udp_exchange(&client, b"ping", SOON).unwrap();
        let source = scene.provider.seen().last().unwrap().peer.ip();
        forge(&scene, "acme", "small", at(endpoint, 7), at(own, 20_777)).unwrap();
        wait_until(SOON, "the report is counted", || {
            scene.daemon.status().is_ok_and(|status| status["drops"]["path_mtu"] == round)
        })
        .unwrap();
        let vendor = scene.lab.host("vendor").namespace();
        let route = vendor.ip(&format!("route get {source}")).unwrap();
        assert!(!route.contains("mtu"), "{route}");
        client::udp_exchange(&client, &[0x5a; 1_400], SOON).unwrap();
    }
}

/// Targets are not told, so the gateway itself keeps the segments of the next connections small.
#[test]
fn what_one_consumer_says_of_its_path_concerns_its_own_connections() {
    let scene = Scene::start().unwrap();
    let segment = |network: &str| {
        let host = scene.lab.host(network);
        let stream = host.run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
        client::tcp_exchange(&stream, 100_000, 1).unwrap();
        getsockopt(&stream, sockopt::TcpMaxSeg).unwrap()
    };
    assert!(segment("acme") > 1_300 && segment("globex") > 1_300);
    let client = scene.acme().run(|| Ok(UdpSocket::bind(at(CLIENT[0], 20_777))?)).unwrap();
    client.connect(at(ENDPOINT[0], 7)).unwrap();
    client::udp_exchange(&client, b"ping", SOON).unwrap();
    forge(&scene, "acme", "narrow", at(ENDPOINT[0], 7), at(CLIENT[0], 20_777)).unwrap();
    wait_until(SOON, "the report is counted", || {
        scene.daemon.status().is_ok_and(|status| status["drops"]["path_mtu"] == 1)
    })
    .unwrap();
    assert!(segment("acme") <= 960, "1,000 bytes less two headers of 20");
    assert!(segment("globex") > 1_300);
}

/// Each end ignores a reset outside of its window, so the gateway must not believe it either.
#[test]
fn a_forged_reset_costs_a_connection_nothing() {
    let scene = Scene::start().unwrap();
    for endpoint in ENDPOINT {
        let to = at(endpoint, 7);
        let stream = scene.acme().run(|| client::connect(to, SOON)).unwrap();
        client::tcp_exchange(&stream, 10_000, 1).unwrap();
        let own = stream.local_addr().unwrap();
        let seen = scene.provider.seen();
        let (target, source) = seen.last().map(|seen| (seen.local, seen.peer)).unwrap();
        for (network, from, to) in [("acme", own, to), ("vendor", target, source)] {
            forge(&scene, network, "reset", from, to).unwrap();
            client::tcp_exchange(&stream, 1_000_000, 2).unwrap();
            let port = own.port().to_string();
            let flows =
                scene.daemon.ask(&["flows", "--json", "acme-web", "--port", &port]).unwrap();
            let state = &flows[0]["state"];
            assert_eq!(state, "established", "{flows}");
        }
    }
}

/// An end that is silent, too, is asked: it answers as if the other had asked, and so restores the
/// flow.
#[test]
fn a_forged_reset_costs_a_silent_connection_nothing() {
    let scene = Scene::start().unwrap();
    for (endpoint, network) in ENDPOINT.into_iter().zip(["acme", "vendor"]) {
        let stream = scene.acme().run(|| client::connect(at(endpoint, 7), SOON)).unwrap();
        client::tcp_exchange(&stream, 10_000, 1).unwrap();
        let own = stream.local_addr().unwrap();
        let seen = scene.provider.seen();
        let (target, source) = seen.last().map(|seen| (seen.local, seen.peer)).unwrap();
        let (from, to) = if network == "acme" { (own, at(endpoint, 7)) } else { (target, source) };
        let packets = || {
            let port = own.port().to_string();
            let flows =
                scene.daemon.ask(&["flows", "--json", "acme-web", "--port", &port]).unwrap();
            assert_eq!(flows[0]["state"], "established", "{flows}");
            flows[0]["packets"].as_u64().unwrap()
        };
        let before = packets();
        forge(&scene, network, "reset", from, to).unwrap();
        // The reset itself is the first of them.
        wait_until(ASKED, "the other end answers", || packets() >= before + 2).unwrap();
        client::tcp_exchange(&stream, 10_000, 2).unwrap();
    }
}
