//! The host's own sockets: what a network that is kept from the host brings them.

use crate::gateway::{ACME, ACME_MAC, CLIENT_MAC, Gateway, Parties};
use crate::packets::{ACK, Packet, RST, SYN, Transport};
use privatelink_common::{Addr, Local, LocalKey, LocalKind, Reason, SenderKey, TCP, UDP, host};
use privatelink_ebpf::{MemoryFrame, Socket, Verdict, process};
use std::net::{IpAddr, SocketAddr};

/// Acme's network keeps its packets from the host, which has an address there.
fn guarded(parties: &Parties, access: u32) -> (Gateway, IpAddr) {
    let mut gateway = Gateway::new(parties);
    let own: IpAddr =
        if parties.client.is_ipv4() { "10.1.0.1" } else { "fd00:1::1" }.parse().unwrap();
    gateway.tables.hosts.insert(1, access);
    let kind = LocalKind::Host as u32;
    let local = Local { kind, mac: ACME_MAC, ..Local::default() };
    gateway.tables.locals.insert(LocalKey { network: 1, address: own.into() }, local);
    let (length, first) = if own.is_ipv4() { (96 + 16, "10.1.0.0") } else { (64, "fd00:1::") };
    let first: IpAddr = first.parse().unwrap();
    let length = SenderKey::NETWORK_BITS + length;
    let prefix = SenderKey { length, network: 1, address: first.into() };
    gateway.tables.senders.insert(prefix, 1);
    (gateway, own)
}

/// What becomes of a packet where the host has this socket for it.
fn verdict(gateway: &Gateway, packet: &Packet, socket: Socket, tag: Option<u16>) -> Verdict {
    let mut bytes = packet.bytes();
    if let Some(tag) = tag {
        let [high, low] = tag.to_be_bytes();
        bytes.splice(12..12, [0x81, 0, high, low]);
    }
    let before = bytes.clone();
    let mut frame = MemoryFrame::new(bytes, ACME);
    let [a, b] = packet.from.port().to_be_bytes();
    let [c, d] = packet.to.port().to_be_bytes();
    let ports = u32::from_ne_bytes([a, b, c, d]);
    let protocol = if matches!(packet.transport, Transport::Tcp(..)) { TCP } else { UDP };
    let (from, to) = (Addr::from(packet.from.ip()), Addr::from(packet.to.ip()));
    frame.sockets.push((from, to, ports, protocol.into(), socket));
    let verdict = process(&mut frame, &gateway.tables);
    assert_eq!(frame.bytes, before, "it leaves as it came");
    verdict
}

fn packet(from: SocketAddr, own: IpAddr, port: u16, transport: Transport) -> Packet {
    Packet::new(from, SocketAddr::new(own, port), transport).macs(CLIENT_MAC, ACME_MAC)
}

const ALL: [Transport; 4] =
    [Transport::Tcp(SYN, 1), Transport::Tcp(SYN | ACK, 1), Transport::Tcp(RST, 1), Transport::Udp];

#[test]
fn a_socket_gets_what_its_own_peer_sends() {
    for parties in Parties::both() {
        let (gateway, own) = guarded(&parties, 0);
        for transport in ALL {
            let answer = packet(parties.client, own, 40_001, transport);
            let refused = Verdict::drop(Reason::Host);
            assert_eq!(verdict(&gateway, &answer, Socket::Connected, None), Verdict::Pass);
            assert_eq!(verdict(&gateway, &answer, Socket::Bound, None), refused);
            assert_eq!(verdict(&gateway, &answer, Socket::None, None), refused);
        }
    }
}

#[test]
fn names_are_asked_for_where_they_are_served() {
    for parties in Parties::both() {
        for (access, socket, expected) in [
            (host::NAMES, Socket::Bound, Verdict::Pass),
            (host::NAMES, Socket::Connected, Verdict::Pass),
            // The name server does not run, or another one would answer by any interface.
            (host::NAMES, Socket::None, Verdict::drop(Reason::Host)),
            (0, Socket::Bound, Verdict::drop(Reason::Host)),
        ] {
            let (gateway, own) = guarded(&parties, access);
            for transport in ALL {
                let query = packet(parties.client, own, 53, transport);
                assert_eq!(verdict(&gateway, &query, socket, None), expected);
                let other = packet(parties.client, own, 54, transport);
                let connected = socket == Socket::Connected;
                let expected = if connected { Verdict::Pass } else { Verdict::drop(Reason::Host) };
                assert_eq!(verdict(&gateway, &other, socket, None), expected);
            }
        }
    }
}

/// A socket that talks to a forged sender does not get what others forge of it.
#[test]
fn a_sender_outside_of_the_network_is_refused_whatever_sockets_there_are() {
    for parties in Parties::both() {
        let (gateway, own) = guarded(&parties, host::NAMES);
        for port in [53, 40_001] {
            let forged = packet(parties.target, own, port, Transport::Udp);
            let refused = Verdict::drop(Reason::Sender);
            assert_eq!(verdict(&gateway, &forged, Socket::Connected, None), refused);
        }
    }
}

/// To the host's stack, a tag of VLAN 0 is none.
#[test]
fn a_priority_tag_is_no_way_around() {
    for parties in Parties::both() {
        let (gateway, own) = guarded(&parties, 0);
        for tag in [0, 5 << 13] {
            let stray = packet(parties.client, own, 22, Transport::Tcp(SYN, 1));
            let refused = Verdict::drop(Reason::Host);
            assert_eq!(verdict(&gateway, &stray, Socket::None, Some(tag)), refused);
            assert_eq!(verdict(&gateway, &stray, Socket::Connected, Some(tag)), Verdict::Pass);
        }
        // Another VLAN is the host's own affair.
        let other = packet(parties.client, own, 22, Transport::Tcp(SYN, 1));
        assert_eq!(verdict(&gateway, &other, Socket::None, Some(7)), Verdict::Pass);
    }
}

/// The kernel does not say which sockets a VLAN has: what may be an answer passes.
#[test]
fn on_a_vlan_only_what_may_be_an_answer_passes() {
    use privatelink_common::{TAGGED_ONLY, TagKey};
    for parties in Parties::both() {
        let (mut gateway, own) = guarded(&parties, 0);
        gateway.tables.networks.insert(ACME, TAGGED_ONLY);
        gateway.tables.tagged.insert(TagKey { ifindex: ACME, vlan: 101 }, 1);
        for (transport, port, passes) in [
            (Transport::Tcp(SYN, 1), 40_001, false),
            (Transport::Tcp(SYN | ACK, 1), 40_001, true),
            (Transport::Tcp(ACK, 1), 22, false),
            (Transport::Udp, 40_001, true),
            (Transport::Udp, 161, false),
        ] {
            let packet = packet(parties.client, own, port, transport);
            let expected = if passes { Verdict::Pass } else { Verdict::drop(Reason::Host) };
            assert_eq!(verdict(&gateway, &packet, Socket::None, Some(101)), expected);
        }
    }
}
