//! What a packet looks like on the other side.

use crate::{
    gateway::{
        ACME, ACME_MAC, CLIENT_MAC, Gateway, Parties, SEND_TO_CLIENT, SEND_TO_TARGET, TARGET_MAC,
        VENDOR, VENDOR_MAC, sender,
    },
    packets::{
        ACK, Packet, SYN, Transport, checksum_of, fault, header_checksum_of, transport_at,
        transport_holds,
    },
};
use proptest::{collection::vec, prelude::*};
use std::net::{IpAddr, SocketAddr};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Both ways: every byte is what etherparse makes of the other side's addresses and ports.
    #[test]
    fn packets_of_a_flow_are_translated_both_ways(
        parties in parties(),
        there in content(),
        back in content(),
        tcp_payload in any::<bool>(),
    ) {
        let gateway = Gateway::new(&parties);
        let (there, back) = (there.fit(&parties, tcp_payload), back.fit(&parties, tcp_payload));
        let source = gateway.open(there.transport);
        prop_assert!(source.port() >= 1024);
        prop_assert!(parties.sources.contains(&source.ip()));

        let packet = there.put(gateway.client_packet(there.transport));
        let ttl = packet.ttl - 1;
        let expected = Packet { from: source, to: parties.target, ttl, ..packet.clone() }
            .macs(VENDOR_MAC, TARGET_MAC);
        let (verdict, out) = gateway.run(ACME, &packet.bytes());
        prop_assert_eq!(verdict, SEND_TO_TARGET);
        prop_assert_eq!(&out, &expected.bytes());
        prop_assert_eq!(fault(&out), None);

        let reply = back.put(gateway.target_packet(source, back.transport));
        let expected = Packet {
            from: parties.endpoint,
            to: parties.client,
            ttl: reply.ttl - 1,
            ..reply.clone()
        }
        .macs(ACME_MAC, CLIENT_MAC);
        let (verdict, out) = gateway.run(VENDOR, &reply.bytes());
        prop_assert_eq!(verdict, SEND_TO_CLIENT);
        prop_assert_eq!(&out, &expected.bytes());
        prop_assert_eq!(fault(&out), None);
    }

    /// The first packet of a flow is translated like any other.
    #[test]
    fn the_first_packet_is_translated(
        parties in parties(),
        content in content(),
        tcp in any::<bool>(),
    ) {
        let gateway = Gateway::new(&parties);
        let first = if tcp { Transport::Tcp(SYN, 9) } else { Transport::Udp };
        let packet = content.put(gateway.client_packet(first));
        let (verdict, out) = gateway.run(ACME, &packet.bytes());
        prop_assert_eq!(verdict, SEND_TO_TARGET);
        let ttl = packet.ttl - 1;
        let expected = Packet { from: sender(&out), to: parties.target, ttl, ..packet }
            .macs(VENDOR_MAC, TARGET_MAC);
        prop_assert_eq!(out, expected.bytes());
    }

    /// Zero has two forms in ones' complement: sums that come out as either stay right.
    #[test]
    fn checksums_that_come_in_or_go_out_as_zero_stay_right(
        parties in parties(),
        udp in any::<bool>(),
        outgoing in any::<bool>(),
    ) {
        let gateway = Gateway::new(&parties);
        let transport = if udp { Transport::Udp } else { Transport::Tcp(ACK, 0) };
        let source = gateway.open(transport);
        let edge = if udp { 0xffff } else { 0 };
        let there = gateway.client_packet(transport);
        let across = Packet { from: source, to: parties.target, ttl: 63, ..there.clone() }
            .macs(VENDOR_MAC, TARGET_MAC);
        let payload = if outgoing { &across } else { &there }.clone().with_checksum(edge).payload;
        let (there, across) = (there.payload(&payload), across.payload(&payload));
        prop_assert_eq!(checksum_of(&if outgoing { &across } else { &there }.bytes()).1, edge);
        let (verdict, out) = gateway.run(ACME, &there.bytes());
        prop_assert_eq!(verdict, SEND_TO_TARGET);
        prop_assert_eq!(&out, &across.bytes());
        prop_assert!(transport_holds(&out));
    }

    /// Between families too, whatever the checksum comes in or goes out as; over IPv6 a datagram
    /// that had none has one.
    #[test]
    fn transports_are_translated_between_families(
        parties in parties_across(),
        content in content(),
        tcp in any::<bool>(),
        zero in prop_oneof![Just(None), any::<bool>().prop_map(Some)],
    ) {
        let gateway = Gateway::new(&parties);
        let content = content.fit(&parties, tcp);
        let source = gateway.open(content.transport);
        let there = content.put(gateway.client_packet(content.transport));
        let transport = match content.transport {
            Transport::BareUdp => Transport::Udp,
            other @ (Transport::Tcp(..) | Transport::Udp) => other,
        };
        let across = Packet { from: source, to: parties.target, transport, ..there.clone() };
        let (mut there, mut across) = (there, across);
        if let Some(outgoing) = zero && content.transport == transport {
            let edge = if tcp { 0 } else { 0xffff };
            let packet = if outgoing { &across } else { &there };
            let payload = packet.clone().with_checksum(edge).payload;
            (there, across) = (there.payload(&payload), across.payload(&payload));
        }
        let (verdict, out) = gateway.run(ACME, &there.bytes());
        prop_assert_eq!(verdict, SEND_TO_TARGET);
        prop_assert_eq!(fault(&out), None);
        prop_assert!(transport_holds(&out));
        let expected = across.bytes();
        let expected = &expected[transport_at(&expected)..];
        let got = &out[transport_at(&out)..];
        // Frames over IPv4 may be too short for Ethernet, and are then padded.
        let length = expected.len().min(got.len());
        prop_assert_eq!(&got[..length], &expected[..length]);
    }

    /// The same for the header checksum of IPv4, and for its other form on arrival.
    #[test]
    fn header_checksums_that_come_in_or_go_out_as_zero_stay_right(
        parties in parties_v4(),
        outgoing in any::<bool>(),
        other_form in any::<bool>(),
    ) {
        let gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Udp);
        let there = gateway.client_packet(Transport::Udp);
        let across = Packet { from: source, to: parties.target, ttl: 63, ..there.clone() };
        let id = if outgoing { across } else { there.clone() }.with_header_checksum(0).id;
        let mut bytes = there.id(id).bytes();
        if header_checksum_of(&bytes) == 0 && other_form {
            bytes[24..26].fill(0xff);
        }
        let (verdict, out) = gateway.run(ACME, &bytes);
        prop_assert_eq!(verdict, SEND_TO_TARGET);
        prop_assert_eq!(fault(&out), None);
    }
}

/// The addresses whose sums are extreme, through flows of both protocols.
#[test]
fn addresses_of_all_ones_are_translated() {
    let all = SocketAddr::new([255; 4].into(), 0xffff);
    // No host has such an address, so the client's is one less in its first byte.
    let client = SocketAddr::new([223, 255, 255, 255].into(), 0xffff);
    let parties = Parties { client, endpoint: all, target: all, sources: vec![[255; 4].into()] };
    let gateway = Gateway::new(&parties);
    for transport in [Transport::Tcp(ACK, 0), Transport::Udp] {
        let source = gateway.open(transport);
        let packet = gateway.target_packet(source, transport);
        let (verdict, out) = gateway.run(VENDOR, &packet.bytes());
        assert_eq!(verdict, SEND_TO_CLIENT);
        assert_eq!(fault(&out), None);
        assert!(transport_holds(&out));
    }
}

#[test]
fn a_wrong_transport_checksum_stays_wrong() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        gateway.open(Transport::Udp);
        let mut bytes = gateway.client_packet(Transport::Udp).bytes();
        *bytes.last_mut().unwrap() ^= 0x55;
        let (verdict, out) = gateway.run(ACME, &bytes);
        assert_eq!(verdict, SEND_TO_TARGET);
        assert!(!transport_holds(&out));
    }
}

#[test]
fn replies_follow_a_client_to_another_ethernet_address() {
    for parties in Parties::both() {
        let gateway = Gateway::new(&parties);
        let source = gateway.open(Transport::Udp);
        let moved = [0x02, 0xee, 9, 9, 9, 9];
        let packet = gateway.client_packet(Transport::Udp).macs(moved, ACME_MAC);
        assert_eq!(gateway.verdict(&packet), SEND_TO_TARGET);
        let reply = gateway.target_packet(source, Transport::Udp);
        let (verdict, out) = gateway.run(VENDOR, &reply.bytes());
        assert_eq!(verdict, SEND_TO_CLIENT);
        assert_eq!(out[..6], moved);
    }
}

#[test]
fn a_flow_follows_its_targets_next_hop() {
    let mut gateway = Gateway::new(&Parties::v4());
    gateway.open(Transport::Udp);
    let moved = [0x02, 0xee, 8, 8, 8, 8];
    gateway.target().hop = moved;
    let (verdict, out) = gateway.run(ACME, &gateway.client_packet(Transport::Udp).bytes());
    assert_eq!(verdict, SEND_TO_TARGET);
    assert_eq!(out[..6], moved);
}

/// What a packet carries, whoever it is from.
#[derive(Clone, Debug)]
pub struct Content {
    pub transport: Transport,
    ttl: u8,
    id: u16,
    payload: Vec<u8>,
    pad: bool,
}

impl Content {
    /// With the flow's protocol; only IPv4 knows UDP without a checksum.
    pub fn fit(mut self, parties: &Parties, tcp: bool) -> Self {
        self.transport = match self.transport {
            Transport::Udp | Transport::BareUdp if tcp => Transport::Tcp(ACK, 77),
            Transport::Tcp(..) if !tcp => Transport::Udp,
            Transport::BareUdp if parties.client.is_ipv6() => Transport::Udp,
            Transport::Tcp(..) | Transport::Udp | Transport::BareUdp => self.transport,
        };
        self
    }

    pub fn put(&self, packet: Packet) -> Packet {
        let packet = packet.ttl(self.ttl).id(self.id).payload(&self.payload);
        if self.pad { packet.padded() } else { packet }
    }
}

pub fn content() -> impl Strategy<Value = Content> {
    let transport = prop_oneof![
        (any::<u8>(), any::<u32>()).prop_map(|(flags, number)| Transport::Tcp(flags, number)),
        Just(Transport::Udp),
        Just(Transport::BareUdp),
    ];
    let payload = prop_oneof![vec(any::<u8>(), 0..32), vec(any::<u8>(), 0..=1400)];
    (transport, 2..=255_u8, any::<u16>(), payload, any::<bool>())
        .prop_map(|(transport, ttl, id, payload, pad)| Content { transport, ttl, id, payload, pad })
}

fn parties_v4() -> impl Strategy<Value = Parties> {
    let octet = prop_oneof![4 => any::<u8>(), 1 => Just(0_u8), 1 => Just(255_u8)];
    parties_of([octet.clone(), octet.clone(), octet.clone(), octet].prop_map(IpAddr::from))
}

pub fn parties() -> impl Strategy<Value = Parties> {
    let v6 = prop_oneof![4 => any::<[u8; 16]>(), 1 => any::<u8>().prop_map(|byte| [byte; 16])];
    prop_oneof![parties_v4(), parties_of(v6.prop_map(IpAddr::from))]
}

/// A client of one family, and a target of the other.
fn parties_across() -> impl Strategy<Value = Parties> {
    let v6 = parties_of(any::<[u8; 16]>().prop_map(IpAddr::from));
    (parties_v4(), v6, any::<bool>()).prop_map(|(v4, v6, client_v4)| {
        let (own, other) = if client_v4 { (v4, v6) } else { (v6, v4) };
        Parties { target: other.target, sources: other.sources, ..own }
    })
}

fn parties_of(address: impl Strategy<Value = IpAddr> + Clone) -> impl Strategy<Value = Parties> {
    let party = (address.clone(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    let sources = vec(address, 1..4);
    (party.clone(), party.clone(), party, sources).prop_map(
        |(client, endpoint, target, sources)| Parties {
            client: as_host(client, endpoint),
            endpoint,
            target,
            sources,
        },
    )
}

/// The client that is nearest to this address: others open no flow.
fn as_host(mut client: SocketAddr, endpoint: SocketAddr) -> SocketAddr {
    client.set_ip(match client.ip() {
        IpAddr::V4(v4) => {
            let [first, b, c, d] = v4.octets();
            let first = if matches!(first, 0 | 127 | 224..) { 10 } else { first };
            [first, b, c, d].into()
        }
        IpAddr::V6(v6) => {
            let mut octets = v6.octets();
            if octets[0] == 0xff || octets[..10] == [0; 10] {
                octets[0] = 0xfd;
            }
            octets.into()
        }
    });
    if client.ip() == endpoint.ip() {
        client.set_ip(if client.is_ipv4() { [10; 4].into() } else { [0xfd; 16].into() });
    }
    client
}
