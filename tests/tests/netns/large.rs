//! Packets that do not fit into one ordinary frame: fragments, and jumbo frames.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use privatelink_tests::lab::{Daemon, Lab, Network, Provider, client, tool, wait_until};

use crate::fixture::{CLIENT, CONFIG, ENDPOINT, NEVER, SERVER, SOON, Scene, at, without_target};

/// Debian's packages belong to Debian's Python, which may not be the first in the path.
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

/// Without one of the targets, its clients use that of the other family. Where packets grow on
/// their way, a sender first has to learn how large its fragments may be.
#[test]
fn long_datagrams_arrive_whole_across_families() {
    for (endpoint, target) in ENDPOINT.into_iter().zip(SERVER) {
        let scene = Scene::with(&without_target(CONFIG, target)).unwrap();
        scene
            .acme()
            .run(|| {
                let any = if at(endpoint, 7).is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(at(endpoint, 7))?;
                client::udp_exchange(&socket, b"ping", SOON)?;
                wait_until(SOON, "the sender knows the MTU", || {
                    client::udp_exchange(&socket, &[0x5a; 4000], NEVER).is_ok()
                })?;
                [1400, 1473, 4000, 20_000, 60_000].into_iter().try_for_each(|length: usize| {
                    let payload: Vec<u8> = (0..length).map(|byte| (byte % 253) as u8).collect();
                    client::udp_exchange(&socket, &payload, SOON)
                })
            })
            .unwrap_or_else(|error| panic!("{error:?}: {}", scene.daemon.status().unwrap()));
        let status = scene.daemon.status().unwrap();
        for reason in ["fragment", "fragment_overlap", "no_checksum", "options"] {
            assert_eq!(status["drops"][reason], 0, "{status}");
        }
        // The first datagram, whose first fragment was too big.
        assert!(status["drops"]["too_big"].as_u64() > Some(0), "{status}");
    }
}

/// A program that turns checksums off, as some tunnels do, in front of an IPv6 target.
#[test]
fn a_datagram_without_a_checksum_gets_one_on_its_way_to_ipv6() {
    const SCRIPT: &str = "import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    SO_NO_CHECK = 11
    client.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    client.settimeout(10)
    for size in (0, 1, 2, 999, 1400):
        payload = bytes(byte % 251 for byte in range(size))
        client.sendto(payload, (sys.argv[1], 7))
        assert client.recv(65536) == payload, size
";
    let [endpoint, _] = ENDPOINT;
    let [target, _] = SERVER;
    let scene = Scene::with(&without_target(CONFIG, target)).unwrap();
    tool::run(scene.acme().command(PYTHON).args(["-c", SCRIPT, endpoint])).unwrap();
    assert_eq!(scene.daemon.drops().unwrap(), 0);
}

#[test]
fn fragments_arrive_in_any_order_and_hostile_ones_are_counted() {
    let scene = Scene::start().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/fragments.py");
    let mac = scene.lab.gateway_mac("acme");
    for (round, (endpoint, own)) in (1..).zip(ENDPOINT.into_iter().zip(CLIENT)) {
        // Resolves the target's Ethernet address before fragments need it.
        scene.acme().run(|| client::udp_echo(at(endpoint, 7), b"ping", SOON)).unwrap();
        let mut command = scene.acme().command(PYTHON);
        tool::run(command.arg(&script).args(["eth0", mac, own, endpoint])).unwrap();
        wait_until(SOON, "hostile fragments are counted", || {
            let drops = &scene.daemon.status().unwrap()["drops"];
            drops["fragment_unknown"] == 2 * round
                && drops["fragment_tiny"] == round
                && drops["fragment_long"] == round
        })
        .unwrap();
    }
}

/// Frames that need several buffers.
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
