//! ARP and neighbour discovery for the gateway's own addresses.

use crate::gateway::{ACME, ACME_MAC, CLIENT_MAC, GLOBEX, Gateway, Parties, VENDOR, VENDOR_MAC};
use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv6Type, NetSlice, PacketBuilder,
    SlicedPacket, TransportSlice,
};
use privatelink_common::Mac;
use privatelink_ebpf::Verdict;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[test]
fn arp_for_endpoint_and_source_addresses_is_answered() {
    let parties = Parties::v4();
    let gateway = Gateway::new(&parties);
    let asked = [
        (ACME, parties.endpoint.ip(), ACME_MAC),
        (VENDOR, parties.sources[0], VENDOR_MAC),
        (VENDOR, parties.sources[1], VENDOR_MAC),
    ];
    for (ifindex, address, mac) in asked {
        for to_mac in [[0xff; 6], mac] {
            for asker in [Ipv4Addr::new(10, 1, 0, 9), Ipv4Addr::UNSPECIFIED] {
                let question = arp(ArpOperation::REQUEST, asker, v4(address), to_mac);
                let (verdict, out) = gateway.run(ifindex, &question);
                assert_eq!(verdict, Verdict::Send { ifindex });
                assert_eq!((&out[..6], &out[6..12]), (&CLIENT_MAC[..], &mac[..]));
                assert_eq!(out.len(), question.len(), "padding stays");
                let sliced = SlicedPacket::from_ethernet(&out).unwrap();
                let Some(NetSlice::Arp(answer)) = sliced.net else { panic!("no ARP") };
                let answer = answer.to_packet().try_eth_ipv4().unwrap();
                assert_eq!(answer.operation, ArpOperation::REPLY);
                assert_eq!((answer.sender_mac, answer.sender_ipv4_addr()), (mac, v4(address)));
                assert_eq!((answer.target_mac, answer.target_ipv4_addr()), (CLIENT_MAC, asker));
            }
        }
    }
}

#[test]
fn other_arp_passes() {
    let parties = Parties::v4();
    let gateway = Gateway::new(&parties);
    let asker = Ipv4Addr::new(10, 1, 0, 9);
    let endpoint = v4(parties.endpoint.ip());
    let everybody = [0xff; 6];
    let question = arp(ArpOperation::REQUEST, asker, endpoint, everybody);
    gateway.assert_passes(GLOBEX, &question);
    gateway.assert_passes(VENDOR, &question);
    gateway.assert_passes(ACME, &question[..14 + 27]);
    gateway.assert_passes(ACME, &arp(ArpOperation::REPLY, asker, endpoint, ACME_MAC));
    gateway.assert_passes(ACME, &arp(ArpOperation::REQUEST, asker, asker, everybody));
    let mut token_ring = question.clone();
    token_ring[15] = 6;
    gateway.assert_passes(ACME, &token_ring);
    gateway.assert_passes(
        VENDOR,
        &arp(ArpOperation::REQUEST, asker, v4(parties.client.ip()), everybody),
    );
}

#[test]
fn an_arp_question_put_to_another_host_passes() {
    let gateway = Gateway::new(&Parties::v4());
    let (asker, endpoint) = (Ipv4Addr::new(10, 1, 0, 9), v4(gateway.parties.endpoint.ip()));
    gateway.assert_passes(ACME, &arp(ArpOperation::REQUEST, asker, endpoint, [2, 9, 9, 9, 9, 9]));
}

#[test]
fn solicitations_for_endpoint_and_source_addresses_are_answered() {
    let parties = Parties::v6();
    let gateway = Gateway::new(&parties);
    let asked = [
        (ACME, v6(parties.endpoint.ip()), ACME_MAC),
        (VENDOR, v6(parties.sources[0]), VENDOR_MAC),
        (VENDOR, v6(parties.sources[1]), VENDOR_MAC),
    ];
    for (ifindex, address, mac) in asked {
        let unicast = (address, mac);
        let multicast = solicited_node(address);
        for (to, to_mac) in [unicast, multicast] {
            for option in [None, Some(1), Some(14)] {
                let asker = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 9);
                let question = Solicitation { asker, to, to_mac, address, option, hop_limit: 255 };
                assert_answered(&gateway, ifindex, &question, mac, (asker, CLIENT_MAC), 0x60);
            }
        }
        // Somebody tests whether the address is free: everybody is told.
        let (to, to_mac) = multicast;
        for option in [None, Some(14)] {
            let asker = Ipv6Addr::UNSPECIFIED;
            let question = Solicitation { asker, to, to_mac, address, option, hop_limit: 255 };
            let everybody = (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), [0x33, 0x33, 0, 0, 0, 1]);
            assert_answered(&gateway, ifindex, &question, mac, everybody, 0x20);
        }
    }
}

#[test]
fn other_solicitations_pass() {
    let parties = Parties::v6();
    let gateway = Gateway::new(&parties);
    let question = solicitation(&parties);
    let foreign = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x51);
    gateway.assert_passes(GLOBEX, &question.bytes());
    gateway.assert_passes(VENDOR, &question.bytes());
    gateway.assert_passes(ACME, &Solicitation { address: foreign, ..question.clone() }.bytes());
    let routed = Solicitation { hop_limit: 254, ..question.clone() };
    gateway.assert_passes(ACME, &routed.bytes());
    let mut coded = question.bytes();
    coded[55] = 1;
    gateway.assert_passes(ACME, &coded);
    let mut advertisement = question.bytes();
    advertisement[54] = 136;
    gateway.assert_passes(ACME, &advertisement);
}

/// The multicast group may be shared, so the answerer must look at the header, too.
#[test]
fn malformed_solicitations_pass() {
    let gateway = Gateway::new(&Parties::v6());
    let good = solicitation(&gateway.parties).bytes();
    let mut version = good.clone();
    version[14] = 0x50;
    gateway.assert_passes(ACME, &version);
    let mut longer = good.clone();
    longer[19] += 1;
    gateway.assert_passes(ACME, &longer);
    let mut shorter = good;
    shorter[19] = 23;
    gateway.assert_passes(ACME, &shorter);
}

#[test]
fn a_solicitation_put_to_another_host_passes() {
    let gateway = Gateway::new(&Parties::v6());
    let question = solicitation(&gateway.parties);
    let to_mac = [2, 9, 9, 9, 9, 9];
    gateway.assert_passes(ACME, &Solicitation { to_mac, ..question }.bytes());
}

/// A neighbour solicitation.
#[derive(Clone, Debug)]
pub struct Solicitation {
    asker: Ipv6Addr,
    to: Ipv6Addr,
    to_mac: Mac,
    address: Ipv6Addr,
    /// The kind of an option with the asker's Ethernet address.
    option: Option<u8>,
    hop_limit: u8,
}

impl Solicitation {
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = self.address.octets().to_vec();
        if let Some(kind) = self.option {
            body.extend([kind, 1]);
            body.extend(CLIENT_MAC);
        }
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2(CLIENT_MAC, self.to_mac)
            .ipv6(self.asker.octets(), self.to.octets(), self.hop_limit)
            .icmpv6_raw(135, 0, [0; 4])
            .write(&mut bytes, &body)
            .unwrap();
        bytes
    }
}

/// An ordinary solicitation for the endpoint.
pub fn solicitation(parties: &Parties) -> Solicitation {
    let address = v6(parties.endpoint.ip());
    let (to, to_mac) = solicited_node(address);
    let (asker, option) = (v6(parties.client.ip()), Some(1));
    Solicitation { asker, to, to_mac, address, option, hop_limit: 255 }
}

/// What is wrong with the checksum of an advertisement, if the frame is one.
pub fn advertisement_fault(frame: &[u8]) -> Option<String> {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(NetSlice::Ipv6(ip)) = &sliced.net else { return None };
    let (source, destination) = (ip.header().source(), ip.header().destination());
    match sliced.transport {
        Some(TransportSlice::Icmpv6(message)) => {
            (!message.is_checksum_valid(source, destination)).then(|| "wrong checksum".into())
        }
        _ => Some("no ICMPv6".into()),
    }
}

/// Asserts that a question is answered by `mac`, to somebody, with these flags.
fn assert_answered(
    gateway: &Gateway,
    ifindex: u32,
    question: &Solicitation,
    mac: Mac,
    (to, to_mac): (Ipv6Addr, Mac),
    flags: u8,
) {
    let (verdict, out) = gateway.run(ifindex, &question.bytes());
    assert_eq!(verdict, Verdict::Send { ifindex }, "{question:?}");
    assert_eq!(advertisement_fault(&out), None, "{question:?}");
    assert_eq!((&out[..6], &out[6..12]), (&to_mac[..], &mac[..]));
    let sliced = SlicedPacket::from_ethernet(&out).unwrap();
    let Some(NetSlice::Ipv6(ip)) = &sliced.net else { panic!("no IPv6") };
    assert_eq!(ip.header().source_addr(), question.address);
    assert_eq!(ip.header().destination_addr(), to);
    assert_eq!(ip.header().hop_limit(), 255);
    let Some(TransportSlice::Icmpv6(message)) = sliced.transport else { panic!("no ICMPv6") };
    assert!(matches!(message.icmp_type(), Icmpv6Type::NeighborAdvertisement(_)));
    assert_eq!(message.bytes5to8(), [flags, 0, 0, 0]);
    let mut body = question.address.octets().to_vec();
    body.extend([2, 1]);
    body.extend(mac);
    assert_eq!(message.payload(), body);
    assert_eq!(out.len(), 14 + 40 + 32);
}

/// An ARP message, padded to the least that Ethernet carries.
fn arp(operation: ArpOperation, asker: Ipv4Addr, asked: Ipv4Addr, to_mac: Mac) -> Vec<u8> {
    let message = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        operation,
        &CLIENT_MAC,
        &asker.octets(),
        &[0; 6],
        &asked.octets(),
    )
    .unwrap();
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, to_mac).arp(message).write(&mut bytes).unwrap();
    bytes.resize(60, 0);
    bytes
}

/// The group and the Ethernet address at which an address is asked for (RFC 4291).
fn solicited_node(address: Ipv6Addr) -> (Ipv6Addr, Mac) {
    let [.., a, b, c] = address.octets();
    let low = u16::from_be_bytes([b, c]);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low);
    (group, [0x33, 0x33, 0xff, a, b, c])
}

fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => panic!("{address} is not IPv4"),
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => panic!("{address} is not IPv6"),
    }
}
