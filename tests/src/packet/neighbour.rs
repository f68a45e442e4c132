//! Who has this address? ARP and neighbour discovery.

#![expect(clippy::unwrap_used, reason = "a packet that cannot be built is a mistake of the test")]

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    EtherType, Ethernet2Header, Icmpv6Header, Icmpv6Type, IpNumber, Ipv6FlowLabel, Ipv6Header,
};
use privatelink_common::Mac;

/// Everybody on a link.
pub const BROADCAST: Mac = [0xff; 6];
/// Every IPv6 host on a link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The Ethernet address that belongs to [`ALL_NODES`].
pub const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];

/// ARP's question for `asked`.
pub fn arp_request(asker: (Mac, Ipv4Addr), asked: Ipv4Addr) -> Vec<u8> {
    arp(BROADCAST, 1, asker, ([0; 6], asked))
}

/// ARP's answer from `holder`.
pub fn arp_reply(holder: (Mac, Ipv4Addr), asker: (Mac, Ipv4Addr)) -> Vec<u8> {
    arp(asker.0, 2, holder, asker)
}

fn arp(to: Mac, operation: u8, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut frame = ethernet(sender.0, to, EtherType::ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
    for (mac, address) in [sender, target] {
        frame.extend(mac);
        frame.extend(address.octets());
    }
    frame
}

fn ethernet(source: Mac, destination: Mac, ether_type: EtherType) -> Vec<u8> {
    Ethernet2Header { source, destination, ether_type }.to_bytes().to_vec()
}

/// A message of neighbour discovery.
#[derive(Clone, Debug)]
pub struct Discovery {
    sender: Mac,
    receiver: Mac,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    option: Option<(u8, Mac)>,
    hop_limit: u8,
    units: u8,
    is_wrong: bool,
}

impl Discovery {
    /// The question for `target`, to its multicast group.
    pub fn solicitation(asker: (Mac, Ipv6Addr), target: Ipv6Addr) -> Self {
        let [.., a, b, c] = target.octets();
        let low = u16::from_be_bytes([b, c]);
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low);
        Self {
            sender: asker.0,
            receiver: [0x33, 0x33, 0xff, a, b, c],
            source: asker.1,
            destination: group,
            kind: 135,
            flags: 0,
            target,
            option: Some((1, asker.0)),
            hop_limit: 255,
            units: 1,
            is_wrong: false,
        }
    }

    /// The answer of `holder`, who has the address, with these flags.
    pub fn advertisement(holder: (Mac, Ipv6Addr), to: (Mac, Ipv6Addr), flags: u8) -> Self {
        Self {
            sender: holder.0,
            receiver: to.0,
            source: holder.1,
            destination: to.1,
            kind: 136,
            flags,
            target: holder.1,
            option: Some((2, holder.0)),
            hop_limit: 255,
            units: 1,
            is_wrong: false,
        }
    }

    /// To one host rather than to a group.
    pub fn to(mut self, mac: Mac, address: Ipv6Addr) -> Self {
        (self.receiver, self.destination) = (mac, address);
        self
    }

    /// Without the option that tells an Ethernet address.
    pub fn without_option(mut self) -> Self {
        self.option = None;
        self
    }

    /// As if `255 - limit` routers had touched it.
    pub fn hop_limit(mut self, limit: u8) -> Self {
        self.hop_limit = limit;
        self
    }

    /// With an option that claims this length, in units of eight bytes.
    pub fn option_length(mut self, units: u8) -> Self {
        self.units = units;
        self
    }

    /// With a wrong checksum.
    pub fn wrong_checksum(mut self) -> Self {
        self.is_wrong = true;
        self
    }

    /// The frame.
    pub fn build(&self) -> Vec<u8> {
        let mut body = self.target.octets().to_vec();
        if let Some((kind, mac)) = self.option {
            body.extend([kind, self.units]);
            body.extend(mac);
        }
        let (source, destination) = (self.source.octets(), self.destination.octets());
        let message = Icmpv6Header::with_checksum(
            Icmpv6Type::Unknown {
                type_u8: self.kind,
                code_u8: 0,
                bytes5to8: [self.flags, 0, 0, 0],
            },
            source,
            destination,
            &body,
        );
        let mut message = message.unwrap();
        message.checksum ^= u16::from(self.is_wrong);
        let message = message.to_bytes();
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: u16::try_from(message.len() + body.len()).unwrap(),
            next_header: IpNumber::IPV6_ICMP,
            hop_limit: self.hop_limit,
            source,
            destination,
        };
        let mut frame = ethernet(self.sender, self.receiver, EtherType::IPV6);
        frame.extend(header.to_bytes());
        frame.extend_from_slice(&message);
        frame.extend(body);
        frame
    }
}
