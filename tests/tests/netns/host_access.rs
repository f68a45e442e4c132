//! What reaches the gateway's own host from a network: nothing but what the gateway needs there,
//! and never on to another network.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::SystemTime,
};

use anyhow::Result;
use privatelink_tests::lab::{
    Capture, DEVICE, Daemon, Host, Lab, Namespace, Provider, client, ethernet_address,
    provider::{ECHO_PORT, HTTP_PORT, Kind},
    tool, wait_until,
};
use privatelink_tests::packet::{Given, Packet, flags};
use tempfile::TempDir;

use crate::fixture::{CONFIG, NEVER, SERVER, SOON, at, everything_works, ip, lay};

/// The gateway's own addresses in acme's network, and in the vendor's.
const OWN: [&str; 2] = ["10.1.0.1", "fd00:1::1"];
const OWN_AT_VENDOR: [&str; 2] = ["10.0.0.1", "fd00::1"];

/// Has the gateway's kernel carry packets, as a container engine does.
fn forwarding(lab: &Lab) {
    for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        lab.gateway().set(setting, "1").unwrap_or_else(|error| panic!("{error}"));
    }
}

/// `host = "all"` in acme's network.
fn open() -> String {
    let interface = "interface = \"veth-acme\"";
    CONFIG.replace(interface, &format!("{interface}\nhost = \"all\""))
}

fn force(lab: &Lab, host: &str, addresses: &[&str]) {
    let addresses: Vec<IpAddr> = addresses.iter().copied().map(ip).collect();
    lab.host(host)
        .force(&addresses, lab.gateway_mac(host))
        .unwrap_or_else(|error| panic!("{error}"));
}

fn reaches(host: &Host, address: &str, port: u16) -> bool {
    let to = at(address, port);
    host.run(|| client::connect(to, NEVER)).is_ok()
        || host.run(|| client::udp_echo(to, b"ping", NEVER)).is_ok()
}

/// With `ip_forward=1` the host carried acme's packets to a host of the vendor that is no service.
#[test]
fn a_forwarding_host_is_no_way_between_networks() {
    let lab = lay().unwrap();
    forwarding(&lab);
    let _captures = lab.capture().unwrap();
    let provider = Provider::start(lab.host("vendor")).unwrap();
    force(&lab, "acme", &SERVER);
    for server in SERVER {
        assert!(reaches(lab.host("acme"), server, HTTP_PORT), "the attack works without a gateway");
    }
    wait_until(SOON, "both are noted", || provider.seen().len() >= 2).unwrap();
    let seen = provider.seen().len();
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    for server in SERVER {
        for port in [HTTP_PORT, ECHO_PORT] {
            assert!(!reaches(lab.host("acme"), server, port), "acme reached {server}:{port}");
        }
    }
    assert_eq!(provider.seen().len(), seen, "{:?}", provider.seen());
    everything_works(lab.host("acme")).unwrap();
    assert!(host_drops(&daemon, "host") >= 8, "they are counted");
}

/// A program that listens on the gateway is reached from no network, by any of its addresses.
#[test]
fn a_listener_of_the_host_is_reached_from_no_network() {
    let lab = lay().unwrap();
    let _captures = lab.capture().unwrap();
    let all: Vec<IpAddr> = [OWN, OWN_AT_VENDOR].concat().into_iter().map(ip).collect();
    let servers = [(Kind::TcpEcho, 22), (Kind::UdpEcho, 22)];
    let listener = Provider::at(lab.gateway(), &all, &servers).unwrap();
    force(&lab, "acme", &[OWN, OWN_AT_VENDOR].concat());
    for own in [OWN, OWN_AT_VENDOR].concat() {
        assert!(reaches(lab.host("acme"), own, 22), "without a gateway, acme reaches {own}");
    }
    wait_until(SOON, "all are noted", || listener.seen().len() >= 4).unwrap();
    let seen = listener.seen().len();
    let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    for host in ["acme", "vendor"] {
        for own in [OWN, OWN_AT_VENDOR].concat() {
            assert!(!reaches(lab.host(host), own, 22), "{host} reached {own}");
        }
    }
    assert_eq!(listener.seen().len(), seen);
    // A ping is answered to whom it belongs.
    for (host, own) in [("acme", OWN), ("vendor", OWN_AT_VENDOR)] {
        for address in own {
            let mut ping = lab.host(host).command("ping");
            tool::run(ping.args(["-c", "1", "-W", "5", address])).unwrap();
        }
    }
    // The operator may open the host to one of them.
    crate::fixture::reload(&daemon, &open()).unwrap();
    for own in OWN {
        assert!(reaches(lab.host("acme"), own, 22), "{own} is open");
    }
    for own in OWN_AT_VENDOR {
        assert!(!reaches(lab.host("vendor"), own, 22), "{own} is not");
    }
}

fn host_drops(daemon: &Daemon, reason: &str) -> u64 {
    let status = daemon.status().unwrap_or_else(|error| panic!("{error}"));
    status.pointer(&format!("/drops/{reason}")).and_then(serde_json::Value::as_u64).unwrap_or(0)
}

/// Frames of acme whose sender is a host of the vendor: a ping, a SYN and a datagram to closed
/// ports, each of which the host would answer.
fn forgeries(lab: &Lab) -> Vec<Vec<u8>> {
    let gateway =
        ethernet_address(lab.gateway_mac("acme")).unwrap_or_else(|error| panic!("{error}"));
    let own_mac = [2, 0, 0, 0, 0, 0x77];
    let mut frames = Vec::new();
    for (victim, own) in SERVER.into_iter().zip(OWN) {
        let (from, to) = (at(victim, 4321), at(own, 4321));
        let kind = if to.is_ipv4() { 8 } else { 128 };
        let ping = Packet::icmp(from, to, (kind, 0), 7).payload(b"a secret of acme");
        let syn = Packet::tcp(from, to).flags(flags::SYN);
        let datagram = Packet::udp(from, to).payload(b"a secret of acme");
        for packet in [ping, syn, datagram] {
            frames.push(packet.between(own_mac, gateway).build(&Given::default()));
        }
    }
    frames
}

/// Counts what arrives at the vendor from the gateway's address in acme's network.
fn echoes(lab: &Lab, attack: impl FnOnce()) -> Result<usize> {
    let directory = TempDir::new()?;
    let vendor = lab.host("vendor").namespace();
    let capture = Capture::start(vendor, DEVICE, &directory)?;
    let since = SystemTime::now();
    attack();
    // What arrives later than this has arrived before it: the lab keeps the order.
    for server in SERVER {
        let socket = lab.gateway().run(|| {
            let any: IpAddr = if ip(server).is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            Ok(UdpSocket::bind(SocketAddr::new(any, 0))?)
        })?;
        client::udp_exchange(&connected(socket, at(server, ECHO_PORT))?, b"marker", SOON)?;
    }
    // What tcpdump has not read yet is lost when it ends.
    wait_until(SOON, "the markers are captured", || {
        capture.summary().is_ok_and(|text| text.matches("UDP, length 6").count() >= 4)
    })?;
    let filter = format!("src host {} or src host {}", OWN[0], OWN[1]);
    Ok(capture.split(&filter, since)?.0)
}

fn connected(socket: UdpSocket, to: SocketAddr) -> Result<UdpSocket> {
    socket.connect(to)?;
    Ok(socket)
}

/// The host's answers to forged senders went, payload and all, to whom they claimed to be.
#[test]
fn answers_to_forged_senders_reach_no_network() {
    for rp_filter in ["0", "2"] {
        let lab = lay().unwrap();
        for interface in ["all", "veth-acme", "veth-vendor"] {
            lab.gateway().set(&format!("ipv4/conf/{interface}/rp_filter"), rp_filter).unwrap();
        }
        let _provider = Provider::start(lab.host("vendor")).unwrap();
        let frames = forgeries(&lab);
        let attack = || lab.host("acme").send_frames(&frames).unwrap();
        let before = echoes(&lab, attack).unwrap();
        assert!(before >= 5, "without a gateway, {before} of 6 are answered to the vendor");
        let daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
        let after = echoes(&lab, attack).unwrap();
        assert_eq!(after, 0, "rp_filter {rp_filter}");
        wait_until(SOON, "each is counted", || host_drops(&daemon, "sender") >= 6).unwrap();
    }
}

/// A socket of the host that talks to a host of a network goes on, and so do new ones.
#[test]
fn sockets_of_the_host_get_their_answers() {
    let lab = lay().unwrap();
    let _captures = lab.capture().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let _daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    let gateway: &Namespace = lab.gateway();
    for server in SERVER {
        let echoed = gateway.run(|| client::tcp_echo(at(server, ECHO_PORT), 100_000, 1, SOON));
        echoed.unwrap();
        // A datagram that nobody waits for is no answer.
        let vendor = lab.host("vendor");
        let any = UdpSocketAt(if ip(server).is_ipv4() { "0.0.0.0" } else { "::" });
        let waiting = gateway.run(|| any.bind()).unwrap();
        let port = waiting.local_addr().unwrap().port();
        let own = OWN_AT_VENDOR[usize::from(!ip(server).is_ipv4())];
        let sender = vendor.run(|| any.bind()).unwrap();
        sender.send_to(b"unasked", at(own, port)).unwrap();
        waiting.set_read_timeout(Some(NEVER)).unwrap();
        waiting.recv(&mut [0; 16]).unwrap_err();
    }
}

struct UdpSocketAt(&'static str);

impl UdpSocketAt {
    fn bind(&self) -> Result<UdpSocket> {
        Ok(UdpSocket::bind(at(self.0, 0))?)
    }
}
