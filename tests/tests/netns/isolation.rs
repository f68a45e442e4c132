//! Only the listeners of an endpoint's service are reachable.

use std::{
    net::{IpAddr, UdpSocket},
    slice,
};

use privatelink_tests::lab::{
    Daemon, Host, Provider, client,
    provider::{ECHO_PORT, HTTP_PORT, Kind},
    wait_until,
};

use crate::fixture::{
    CLIENT, CONFIG, ENDPOINT, NEVER, SERVER, SOON, Scene, at, everything_works, ip, lay,
};

/// Source addresses, from either end of their ranges.
const SOURCE_ADDRESSES: [&str; 4] = ["10.0.0.240", "10.0.0.247", "fd00::f0", "fd00::f7"];

/// Tries each address and port from `host` over TCP and UDP; none may answer.
fn nobody_answers(host: &Host, addresses: &[&str], ports: &[u16]) {
    for address in addresses {
        for port in ports {
            let to = at(address, *port);
            let tcp = host.run(|| client::connect(to, NEVER));
            assert!(tcp.is_err(), "{} connected to {to}", host.name());
            let udp = host.run(|| client::udp_echo(to, b"ping", NEVER));
            assert!(udp.is_err(), "{} had an answer from {to}", host.name());
        }
    }
}

fn all(addresses: &[&[&str]]) -> Vec<IpAddr> {
    addresses.concat().into_iter().map(ip).collect()
}

#[test]
fn a_network_without_endpoint_reaches_nothing() {
    let scene = Scene::start().unwrap();
    let outsider = scene.lab.host("initech");
    let mac = scene.lab.gateway_mac("initech");
    outsider.force(&all(&[&ENDPOINT, &SERVER, &SOURCE_ADDRESSES]), mac).unwrap();
    nobody_answers(outsider, &ENDPOINT, &[80, 7]);
    nobody_answers(outsider, &SERVER, &[HTTP_PORT, ECHO_PORT]);
    nobody_answers(outsider, &["10.0.0.240", "fd00::f0"], &[80]);
    assert_eq!(scene.provider.seen(), []);
    // The same packets from the right network do cross: the lab works.
    everything_works(scene.acme()).unwrap();
}

#[test]
fn an_outsider_gets_no_answer_to_arp_for_the_endpoint() {
    let scene = Scene::start().unwrap();
    let outsider = scene.lab.host("initech");
    nobody_answers(outsider, &ENDPOINT, &[80]);
    let neighbours = outsider.namespace().ip("neigh show nud reachable nud stale").unwrap();
    for endpoint in ENDPOINT {
        assert!(!neighbours.contains(&format!("{endpoint} ")), "{neighbours}");
    }
}

#[test]
fn a_consumer_reaches_only_the_listeners() {
    let scene = Scene::start().unwrap();
    everything_works(scene.acme()).unwrap();
    let before = scene.provider.seen().len();
    let drops = scene.daemon.drops().unwrap();
    nobody_answers(scene.acme(), &ENDPOINT, &[22, HTTP_PORT, ECHO_PORT]);
    // Each refused packet is counted under some reason.
    wait_until(SOON, "the refused packets are counted", || {
        scene.daemon.drops().is_ok_and(|now| now >= drops + 12)
    })
    .unwrap();
    let mac = scene.lab.gateway_mac("acme");
    scene.acme().force(&all(&[&SERVER, &SOURCE_ADDRESSES]), mac).unwrap();
    nobody_answers(scene.acme(), &SERVER, &[HTTP_PORT, ECHO_PORT]);
    nobody_answers(scene.acme(), &["10.0.0.240", "fd00::f0"], &[80]);
    assert_eq!(scene.provider.seen().len(), before, "{:?}", scene.provider.seen());
}

#[test]
fn a_provider_cannot_open_a_flow() {
    let scene = Scene::start().unwrap();
    let servers = [(Kind::TcpEcho, 9000), (Kind::UdpEcho, 9000), (Kind::TcpEcho, 80)];
    let victim = Provider::with(scene.acme(), &servers).unwrap();
    let vendor = scene.lab.host("vendor");
    let mac = scene.lab.gateway_mac("vendor");
    vendor.force(&all(&[&CLIENT, &ENDPOINT, &SOURCE_ADDRESSES]), mac).unwrap();
    nobody_answers(vendor, &CLIENT, &[9000, 80]);
    nobody_answers(vendor, &ENDPOINT, &[80, 7]);
    nobody_answers(vendor, &SOURCE_ADDRESSES, &[9000, 80]);
    assert_eq!(victim.seen(), []);
}

#[test]
fn a_flow_admits_no_other_sender() {
    let scene = Scene::start().unwrap();
    let vendor = scene.lab.host("vendor");
    for (endpoint, server) in ENDPOINT.into_iter().zip(SERVER) {
        let any = if ip(endpoint).is_ipv4() { "0.0.0.0" } else { "::" };
        let socket = scene.acme().run(|| Ok(UdpSocket::bind(at(any, 0))?)).unwrap();
        socket.connect(at(endpoint, 7)).unwrap();
        client::udp_exchange(&socket, b"mine", SOON).unwrap();
        let source = scene.provider.seen().last().unwrap().peer;
        // The right addresses and the right destination port, but not the target's port.
        let intruder = vendor.run(|| Ok(UdpSocket::bind(at(server, 9999))?)).unwrap();
        intruder.send_to(b"not yours", source).unwrap();
        socket.set_read_timeout(Some(NEVER)).unwrap();
        socket.recv(&mut [0; 64]).unwrap_err();
        client::udp_exchange(&socket, b"still mine", SOON).unwrap();
    }
}

#[test]
fn the_gateways_own_services_still_work_where_the_host_is_open() {
    let lab = lay().unwrap();
    let _captures = lab.capture().unwrap();
    let own = ["10.1.0.1", "fd00:1::1"];
    let addresses = all(&[&own]);
    let _sshd =
        Provider::at(lab.gateway(), &addresses, slice::from_ref(&(Kind::TcpEcho, 22))).unwrap();
    let sessions = own.map(|own| {
        let session = lab.host("acme").run(|| client::connect(at(own, 22), SOON)).unwrap();
        client::tcp_exchange(&session, 10_000, 1).unwrap();
        session
    });
    let open = "interface = \"veth-acme\"";
    let open = CONFIG.replace(open, &format!("{open}\nhost = \"all\""));
    let _daemon = Daemon::start(lab.gateway(), &open).unwrap();
    for session in &sessions {
        client::tcp_exchange(session, 1_000_000, 2).unwrap();
    }
    for own in own {
        lab.host("acme").run(|| client::tcp_echo(at(own, 22), 1_000_000, 3, SOON)).unwrap();
    }
}
