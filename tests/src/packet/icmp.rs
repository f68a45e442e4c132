//! ICMP and ICMPv6: pings, and errors about other packets.

use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};

use super::{ETHERNET, End, Given, Packet, Transport};

/// IP protocol number of ICMP.
pub(super) const V4: u8 = 1;
/// Next header number of ICMPv6.
pub(super) const V6: u8 = 58;

/// A message without what follows its head.
#[derive(Clone, Debug)]
pub(super) struct Message {
    kind: u8,
    code: u8,
    rest: [u8; 4],
    /// The packet that it is about, and how much of that it shows.
    quote: Option<(Box<Packet>, usize)>,
    /// What stands behind that.
    objects: Vec<u8>,
}

impl Packet {
    /// A control message of this type and code, with the second word of its head.
    pub fn icmp(from: impl Into<End>, to: impl Into<End>, kind: (u8, u8), rest: u32) -> Self {
        let ((kind, code), rest) = (kind, rest.to_be_bytes());
        Self::new(
            from,
            to,
            Transport::Icmp(Message { kind, code, rest, quote: None, objects: Vec::new() }),
        )
    }

    /// About this packet, of which it shows `length` bytes from the IP header on, if there are
    /// as many. What the message carries besides is lost.
    pub fn about(mut self, packet: Self, length: usize) -> Self {
        if let Transport::Icmp(message) = &mut self.transport {
            message.quote = Some((Box::new(packet), length));
        }
        self
    }

    /// With this behind the packet that it quotes.
    pub fn followed_by(mut self, objects: &[u8]) -> Self {
        if let Transport::Icmp(message) = &mut self.transport {
            message.objects = objects.to_vec();
        }
        self
    }

    /// The packet with the bytes that it quotes.
    pub(super) fn with_quote(&self, given: &Given) -> Self {
        let mut packet = self.clone();
        if let Transport::Icmp(Message { quote: Some((quoted, length)), objects, .. }) =
            &self.transport
        {
            let mut bytes = quoted.build(given).split_off(ETHERNET);
            bytes.truncate(*length);
            bytes.extend(objects);
            packet.payload = bytes;
        }
        packet
    }
}

impl Message {
    pub(super) fn checksum_v4(&self, payload: &[u8]) -> u16 {
        let (type_u8, code_u8, bytes5to8) = (self.kind, self.code, self.rest);
        let kind = Icmpv4Type::Unknown { type_u8, code_u8, bytes5to8 };
        Icmpv4Header::with_checksum(kind, payload).checksum
    }

    pub(super) fn checksum_v6(&self, from: [u8; 16], to: [u8; 16], payload: &[u8]) -> u16 {
        let (type_u8, code_u8, bytes5to8) = (self.kind, self.code, self.rest);
        let kind = Icmpv6Type::Unknown { type_u8, code_u8, bytes5to8 };
        Icmpv6Header::with_checksum(kind, from, to, payload).unwrap().checksum
    }

    pub(super) fn bytes(&self, checksum: u16) -> Vec<u8> {
        let [high, low] = checksum.to_be_bytes();
        [&[self.kind, self.code, high, low], &self.rest[..]].concat()
    }
}
