//! The frames that are tried: made as a client's or a target's stack would make them, and read as
//! they come out.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    LaxPacketHeaders, NetHeaders, PacketBuilder, PacketBuilderStep, TcpOptionElement,
    TransportHeader, VlanId,
};
use privatelink_common::Mac;

use crate::model::Protocol;

/// Hop limit of a frame that has come by no router.
const TTL: u8 = 64;
/// The largest receive window without scaling.
const WINDOW: u16 = 65_535;
/// What Ethernet carries at most as a rule; a client's stack announces as much less its headers.
const USUAL_MTU: u16 = 1_500;

/// A frame on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Ethernet addresses: of the sender and of the receiver.
    pub macs: [Mac; 2],
    /// The VLAN's number, if it is tagged.
    pub vlan: Option<u16>,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// From where.
    pub from: SocketAddr,
    /// To where.
    pub to: SocketAddr,
    /// To which Ethernet address.
    pub mac: Mac,
    /// The largest segment that it announces.
    pub segment: Option<u16>,
}

/// What part of a conversation a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The client's first.
    Opening,
    /// The target's answer to it.
    Answer,
    /// A packet of so many bytes, from the IP header on.
    Large(u16),
}

/// The frame of a packet, if there can be one between these ends: both are of one family.
pub fn build(
    wire: &Wire,
    protocol: Protocol,
    [from, to]: [SocketAddr; 2],
    part: Part,
) -> Option<Vec<u8>> {
    let [sender, receiver] = wire.macs;
    let ethernet = PacketBuilder::ethernet2(sender, receiver);
    let packet = match (from.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            match vlan(wire) {
                Some(tag) => ethernet.single_vlan(tag).ipv4(source, destination, TTL),
                None => ethernet.ipv4(source, destination, TTL),
            }
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            match vlan(wire) {
                Some(tag) => ethernet.single_vlan(tag).ipv6(source, destination, TTL),
                None => ethernet.ipv6(source, destination, TTL),
            }
        }
        _ => return None,
    };
    finish(packet, protocol, [from, to], part)
}

fn vlan(wire: &Wire) -> Option<VlanId> {
    VlanId::try_new(wire.vlan?).ok()
}

fn finish(
    packet: PacketBuilderStep<etherparse::IpHeaders>,
    protocol: Protocol,
    [from, to]: [SocketAddr; 2],
    part: Part,
) -> Option<Vec<u8>> {
    let ip = if from.is_ipv4() { 20 } else { 40 };
    let mut frame = Vec::new();
    match protocol {
        Protocol::Tcp => {
            let segment = USUAL_MTU - ip - 20;
            let options = [TcpOptionElement::MaximumSegmentSize(segment)];
            let tcp = packet.tcp(from.port(), to.port(), 1, WINDOW);
            let (tcp, payload) = match part {
                Part::Opening => (tcp.syn().options(&options).ok()?, 0),
                Part::Answer => (tcp.syn().ack(2).options(&options).ok()?, 0),
                Part::Large(length) => (tcp.ack(2), length.saturating_sub(ip + 20)),
            };
            tcp.write(&mut frame, &vec![0; payload.into()]).ok()?;
        }
        Protocol::Udp => {
            let payload = match part {
                Part::Opening | Part::Answer => 1,
                Part::Large(length) => length.saturating_sub(ip + 8),
            };
            let udp = packet.udp(from.port(), to.port());
            udp.write(&mut frame, &vec![0; payload.into()]).ok()?;
        }
    }
    Some(frame)
}

/// Reads what the programs have made of a frame.
pub fn read(frame: &[u8]) -> Option<Said> {
    let headers = LaxPacketHeaders::from_ethernet(frame).ok()?;
    let ends: [IpAddr; 2] = match headers.net? {
        NetHeaders::Ipv4(ip, _) => [ip.source.into(), ip.destination.into()],
        NetHeaders::Ipv6(ip, _) => [ip.source.into(), ip.destination.into()],
        NetHeaders::Arp(_) => return None,
    };
    let (ports, segment) = match headers.transport? {
        TransportHeader::Tcp(tcp) => {
            let segments = tcp.options_iterator().filter_map(|option| match option {
                Ok(TcpOptionElement::MaximumSegmentSize(segment)) => Some(segment),
                Ok(_) | Err(_) => None,
            });
            ([tcp.source_port, tcp.destination_port], segments.last())
        }
        TransportHeader::Udp(udp) => ([udp.source_port, udp.destination_port], None),
        TransportHeader::Icmpv4(_) | TransportHeader::Icmpv6(_) | TransportHeader::Igmp(_) => {
            return None;
        }
    };
    let mac = frame.get(..6)?.try_into().ok()?;
    let [from, to] = [(ends[0], ports[0]), (ends[1], ports[1])].map(SocketAddr::from);
    Some(Said { from, to, mac, segment })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACS: [Mac; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

    #[test]
    fn what_is_built_is_read_back() {
        for (from, to) in [("10.1.0.2:40000", "10.1.0.50:80"), ("[fd00::2]:40000", "[fd00::50]:80")]
        {
            let ends: [SocketAddr; 2] = [from, to].map(|end| end.parse().unwrap());
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                for vlan in [None, Some(101)] {
                    let wire = Wire { macs: MACS, vlan };
                    let frame = build(&wire, protocol, ends, Part::Opening).unwrap();
                    let said = read(&frame).unwrap();
                    assert_eq!((said.from, said.to, said.mac), (ends[0], ends[1], MACS[1]));
                    assert_eq!(said.segment.is_some(), protocol == Protocol::Tcp);
                    let large = build(&wire, protocol, ends, Part::Large(1_400)).unwrap();
                    let tag = if vlan.is_some() { 4 } else { 0 };
                    assert_eq!(large.len(), 14 + tag + 1_400);
                }
            }
        }
        let mixed = ["10.1.0.2:1", "[fd00::2]:1"].map(|end| end.parse().unwrap());
        let wire = Wire { macs: MACS, vlan: None };
        assert_eq!(build(&wire, Protocol::Tcp, mixed, Part::Opening), None);
    }
}
