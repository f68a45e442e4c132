//! What does not fit into one ordinary frame: fragments, and jumbo frames.

use std::path::Path;
use std::time::Duration;

use privatelink_tests::lab::{Daemon, Lab, Network, Provider, client, tool, wait_until};

use crate::fixture::{CLIENT, CONFIG, ENDPOINT, SOON, Scene, at};

/// Debian's packages are for Debian's Python, which need not be the first on the path.
const PYTHON: &str = "/usr/bin/python3";

#[test]
fn long_datagrams_arrive_whole_over_both_families() {
    let scene = Scene::start().unwrap();
    for endpoint in ENDPOINT {
        for length in [1473, 4000, 20_000, 60_000] {
            let payload: Vec<u8> = (0..length).map(|byte: u32| (byte % 253) as u8).collect();
            let echoed = scene.acme().run(|| client::udp_echo(at(endpoint, 7), &payload, SOON));
            assert!(echoed.is_ok(), "{echoed:?}: {}", scene.daemon.status().unwrap());
        }
    }
    let status = scene.daemon.status().unwrap();
    for reason in ["fragment", "fragment_unknown", "fragment_overlap"] {
        assert_eq!(status["drops"][reason], 0, "{status}");
    }
}

#[test]
fn fragments_arrive_in_any_order_and_hostile_ones_are_counted() {
    let scene = Scene::start().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/fragments.py");
    let mac = scene.lab.gateway_mac("acme");
    for (round, (endpoint, own)) in (1..).zip(ENDPOINT.into_iter().zip(CLIENT)) {
        // The target's Ethernet address is found out before fragments need it.
        scene.acme().run(|| client::udp_echo(at(endpoint, 7), b"ping", SOON)).unwrap();
        let mut command = scene.acme().command(PYTHON);
        tool::run(command.arg(&script).args(["eth0", mac, own, endpoint])).unwrap();
        wait_until(SOON, "hostile fragments to be counted", || {
            let drops = &scene.daemon.status().unwrap()["drops"];
            drops["fragment_unknown"] == 2 * round
                && drops["fragment_tiny"] == round
                && drops["fragment_long"] == round
        })
        .unwrap();
    }
}

/// Frames that lie in several buffers.
#[test]
fn jumbo_frames_cross_over_both_families() {
    const MTU: u32 = 9000;
    const PATIENCE: Duration = Duration::from_secs(60);
    let lab = Lab::builder()
        .network(Network::consumer("acme").mtu(MTU))
        .network(Network::consumer("globex").mtu(MTU))
        .network(Network::consumer("initech").mtu(MTU))
        .network(Network::provider("vendor").mtu(MTU))
        .build()
        .unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    let acme = lab.host("acme");
    for endpoint in ENDPOINT {
        acme.run(|| {
            client::tcp_echo(at(endpoint, 7), 100_000_000, 9, PATIENCE)?;
            let payload = vec![0xa5; 8_900];
            (0..50).try_for_each(|_| client::udp_echo(at(endpoint, 7), &payload, SOON))
        })
        .unwrap();
    }
    let status = daemon.status().unwrap();
    for reason in ["too_big", "malformed"] {
        assert_eq!(status["drops"][reason], 0, "{status}");
    }
}
