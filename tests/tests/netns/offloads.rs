//! Hosts whose offloads are as they are by default, as those of containers are: they leave the
//! checksums of their packets, and the cutting of long ones, to a device that does neither.

use std::{
    io::ErrorKind,
    net::{TcpStream, UdpSocket},
};

use anyhow::Result;
use privatelink_tests::lab::{Daemon, Lab, Network, Provider, client, tool};

use crate::fixture::{CONFIG, ENDPOINT, SERVER, SOON, at, everything_works, without_target};

/// Networks with offloads around a gateway that chooses the mode by itself.
struct Scene {
    daemon: Daemon,
    _provider: Provider,
    lab: Lab,
}

impl Scene {
    fn with(config: &str) -> Result<Self> {
        let lab = Lab::builder()
            .network(Network::consumer("acme").with_offloads())
            .network(Network::consumer("globex").with_offloads())
            .network(Network::consumer("initech").with_offloads())
            .network(Network::provider("vendor").with_offloads())
            .build()?;
        let provider = Provider::start(lab.host("vendor"))?;
        let daemon = Daemon::start(lab.gateway(), &in_mode("auto", config))?;
        Ok(Self { daemon, _provider: provider, lab })
    }
}

/// The configuration with this mode in every network.
fn in_mode(mode: &str, config: &str) -> String {
    config.replace("[[network]]", &format!("[[network]]\nmode = \"{mode}\""))
}

#[test]
fn everything_works_with_default_offloads() {
    let scene = Scene::with(CONFIG).unwrap();
    let status = scene.daemon.status().unwrap();
    for network in status["networks"].as_array().unwrap() {
        assert_eq!(network["xdp_mode"], "tc", "{network}");
    }
    for consumer in ["acme", "globex"] {
        everything_works(scene.lab.host(consumer)).unwrap();
    }
    // In fragments.
    for endpoint in ENDPOINT {
        let payload = vec![0x5a; 20_000];
        scene.lab.host("acme").run(|| client::udp_echo(at(endpoint, 7), &payload, SOON)).unwrap();
    }
    assert_eq!(scene.daemon.drops().unwrap(), 0, "{}", scene.daemon.status().unwrap());
}

#[test]
fn long_streams_cross_in_segments_that_the_kernel_cuts() {
    let scene = Scene::with(CONFIG).unwrap();
    for endpoint in ENDPOINT {
        scene
            .lab
            .host("acme")
            .run(|| client::tcp_echo(at(endpoint, 7), 50_000_000, 7, SOON))
            .unwrap_or_else(|error| panic!("{error:?}: {}", scene.daemon.status().unwrap()));
    }
    assert_eq!(scene.daemon.drops().unwrap(), 0, "{}", scene.daemon.status().unwrap());
}

#[test]
fn streams_and_datagrams_change_family_with_default_offloads() {
    for (endpoint, target) in ENDPOINT.into_iter().zip(SERVER) {
        let scene = Scene::with(&without_target(CONFIG, target)).unwrap();
        scene
            .lab
            .host("acme")
            .run(|| {
                client::http_get(at(endpoint, 80), SOON)?;
                client::udp_echo(at(endpoint, 7), b"ping", SOON)?;
                client::tcp_echo(at(endpoint, 7), 20_000_000, 7, SOON)
            })
            .unwrap_or_else(|error| panic!("{error:?}: {}", scene.daemon.status().unwrap()));
    }
}

/// The answers go back in the frames of the refused packets, whose checksums were not complete.
#[test]
fn refused_senders_are_told_with_default_offloads() {
    let scene = Scene::with(CONFIG).unwrap();
    let acme = scene.lab.host("acme");
    for endpoint in ENDPOINT {
        let refused = acme.run(|| Ok(TcpStream::connect_timeout(&at(endpoint, 81), SOON))).unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{endpoint}");
        acme.run(|| {
            let any = if at(endpoint, 9).is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            socket.set_read_timeout(Some(SOON))?;
            socket.connect(at(endpoint, 9))?;
            socket.send(b"ping")?;
            let refused = socket.recv(&mut [0; 9]).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{endpoint}");
            Ok(())
        })
        .unwrap();
    }
}

/// Sends datagrams that the kernel cuts out of one long one, and awaits the echo of each.
const CUT: &str = "import socket, sys
UDP_SEGMENT = 103
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as client:
    client.setsockopt(socket.SOL_UDP if hasattr(socket, 'SOL_UDP') else 17, UDP_SEGMENT, 1000)
    client.settimeout(10)
    client.connect((sys.argv[1], 7))
    payload = bytes(byte % 251 for byte in range(20500))
    client.send(payload)
    pieces = [client.recv(65536) for _ in range(21)]
    assert b''.join(pieces) == payload, [len(piece) for piece in pieces]
";

#[test]
fn datagrams_that_the_kernel_cuts_cross_and_count_one_by_one() {
    for (endpoint, target) in ENDPOINT.into_iter().zip([None, None]).chain(
        // Without the target of its own family, a client uses that of the other.
        ENDPOINT.into_iter().zip(SERVER.map(Some)),
    ) {
        let config = target.map_or_else(|| CONFIG.to_owned(), |one| without_target(CONFIG, one));
        let scene = Scene::with(&config).unwrap();
        let acme = scene.lab.host("acme");
        // The first one opens the flow.
        acme.run(|| client::udp_echo(at(endpoint, 7), b"ping", SOON)).unwrap();
        tool::run(acme.command("/usr/bin/python3").args(["-c", CUT, endpoint]))
            .unwrap_or_else(|error| panic!("{error:?}: {}", scene.daemon.status().unwrap()));
        let status = scene.daemon.status().unwrap();
        let acme_web = &status["endpoints"][0];
        assert_eq!(acme_web["packets_in"], 1 + 21, "{target:?}: {status}");
    }
}

/// Packets go on by tc, too, while no daemon runs; and `down` ends that.
#[test]
fn forwarding_outlives_the_daemon_until_it_is_ended() {
    let mut scene = Scene::with(CONFIG).unwrap();
    everything_works(scene.lab.host("acme")).unwrap();
    scene.daemon.kill();
    everything_works(scene.lab.host("acme")).unwrap();
    scene.daemon.run().unwrap();
    everything_works(scene.lab.host("acme")).unwrap();
    scene.daemon.terminate();
    scene.daemon.down().unwrap();
    assert!(!scene.daemon.pin_dir().exists());
    for interface in ["veth-acme", "veth-vendor"] {
        let link = scene.lab.gateway().ip(&format!("-details link show dev {interface}")).unwrap();
        assert!(!link.contains("prog"), "{link}");
    }
}
