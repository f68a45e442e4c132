//! Packets that the gateway makes itself.

use super::{
    across, checksum,
    ethernet::EtherType,
    icmp::{Control, FRESH_TTL, icmp_v4, icmp_v6},
    ip::Ip as _,
    ipv4::Ipv4,
    ipv6::Ipv6,
};

/// What differs between the families in packets that the gateway makes itself, and in errors about
/// packets.
pub trait Fresh: Control {
    /// The other family.
    type Other: Fresh;

    /// Kind of an Ethernet frame's payload.
    const ETHERTYPE: u16;
    /// How much of a packet, from its IP header on, an error about it shows at most: with that,
    /// the error is as long as every link carries.
    const QUOTE: u32;

    /// Type and code: no program listens on the port.
    const PORT_UNREACHABLE: (u8, u8);
    /// Type and code: the host is unreachable.
    const HOST_UNREACHABLE: (u8, u8);
    /// Type and code: administratively prohibited.
    const PROHIBITED: (u8, u8);
    /// Type and code: no hops were left.
    const TIME_EXCEEDED: (u8, u8);
    /// Type and code: too large for the way out.
    const TOO_BIG: (u8, u8);

    /// Writes all of the header: with all hops before it, and not to be fragmented.
    fn compose(
        &mut self,
        source: Self::Address,
        destination: Self::Address,
        protocol: u8,
        payload: u32,
    );

    /// Class of traffic of a packet.
    fn class(&self) -> u8;
    /// Writes all of the header for a packet that comes from the other family.
    fn compose_as(&mut self, header: &NewHeader<Self>);

    /// Length of what follows the header, as it says.
    fn payload(&self) -> u32;
    /// Type and code of an error in the other family, or [`NO_MESSAGE`](super::NO_MESSAGE).
    fn message_across(kind: u8, code: u8) -> u32;
    /// The rest of its header in the other family, likewise.
    fn rest_across(kind: u8, code: u8, rest: u32) -> u32;

    /// Changes the length of what follows the header, which has no options.
    fn set_payload(&mut self, length: u32);
    /// How many bytes of a packet an error shows before its extensions (RFC 4884); zero if it has
    /// none. `rest` is that of its header, as the machine loads it.
    fn shown(kind: u8, rest: u32) -> u32;
    /// The rest of a header that says of no extensions.
    fn without_shown(rest: u32) -> u32;

    /// The sum over the pseudo header of control messages, if there is one.
    fn control_sum(source: Self::Address, destination: Self::Address, length: u32) -> u32;

    /// The sum over the pseudo header of a transport.
    #[inline(always)]
    fn pseudo_sum(
        source: Self::Address,
        destination: Self::Address,
        protocol: u8,
        length: u32,
    ) -> u32 {
        Self::sum(source)
            + Self::sum(destination)
            + u32::from(u16::from_ne_bytes([0, protocol]))
            + u32::from((length as u16).to_be())
    }
}

/// What a translated packet keeps, or gets.
pub struct NewHeader<I: Fresh> {
    /// Source address, in the family's own form.
    pub source: I::Address,
    /// Destination address, in the family's own form.
    pub destination: I::Address,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Length of the payload.
    pub payload: u32,
    /// Class of traffic.
    pub class: u8,
    /// TTL or hop limit: how many routers may still forward it.
    pub hops: u8,
    /// Identification of the packet, if it may be fragmented.
    pub identification: u16,
    /// Which part of a datagram it is, as [`Fragment::place`] has it.
    ///
    /// [`Fragment::place`]: super::Fragment::place
    pub place: u16,
}

/// A packet over IPv4 that is no longer than this may be fragmented: it came from a network where
/// a link need not carry more (RFC 7915, section 5.1).
const MAY_FRAGMENT: u32 = 1260;

impl Fresh for Ipv4 {
    type Other = Ipv6;

    const ETHERTYPE: u16 = EtherType::IPV4;
    // RFC 1812, section 4.3.2.3: 576 bytes in all.
    const QUOTE: u32 = 576 - 20 - 8;

    const PORT_UNREACHABLE: (u8, u8) = (icmp_v4::UNREACHABLE, icmp_v4::PORT);
    const HOST_UNREACHABLE: (u8, u8) = (icmp_v4::UNREACHABLE, icmp_v4::HOST);
    const PROHIBITED: (u8, u8) = (icmp_v4::UNREACHABLE, icmp_v4::PROHIBITED);
    const TIME_EXCEEDED: (u8, u8) = (icmp_v4::TIME_EXCEEDED, 0);
    const TOO_BIG: (u8, u8) = (icmp_v4::UNREACHABLE, icmp_v4::FRAGMENTATION_NEEDED);

    #[inline(always)]
    fn compose(&mut self, source: u32, destination: u32, protocol: u8, payload: u32) {
        const DONT_FRAGMENT: u32 = 0x4000_u32.to_be();
        let first = (0x4500_0000 | (payload + Self::LEN as u32)).to_be();
        self.set_version_length(first);
        self.set_fragment(DONT_FRAGMENT);
        (self.ttl, self.protocol) = (FRESH_TTL, protocol);
        self.set_source(source);
        self.set_destination(destination);
        let sum = Self::sum(first)
            + Self::sum(DONT_FRAGMENT)
            + u32::from(u16::from_ne_bytes([FRESH_TTL, protocol]))
            + Self::sum(source)
            + Self::sum(destination);
        self.set_check(!checksum::fold(sum));
    }

    #[inline(always)]
    fn class(&self) -> u8 {
        (u32::from_be(self.version_length()) >> 16) as u8
    }

    #[inline(always)]
    fn compose_as(&mut self, header: &NewHeader<Self>) {
        let length = header.payload + Self::LEN as u32;
        let fragment = if header.place != 0 {
            u32::from(header.identification) << 16 | Self::fragment_field(header.place)
        } else if length <= MAY_FRAGMENT {
            u32::from(header.identification) << 16
        } else {
            0x4000
        };
        let (first, fragment) =
            ((0x4500_0000 | u32::from(header.class) << 16 | length).to_be(), fragment.to_be());
        self.set_version_length(first);
        self.set_fragment(fragment);
        (self.ttl, self.protocol) = (header.hops, header.protocol);
        self.set_source(header.source);
        self.set_destination(header.destination);
        let sum = Self::sum(first)
            + Self::sum(fragment)
            + u32::from(u16::from_ne_bytes([header.hops, header.protocol]))
            + Self::sum(header.source)
            + Self::sum(header.destination);
        self.set_check(!checksum::fold(sum));
    }

    #[inline(always)]
    fn payload(&self) -> u32 {
        let head = u32::from_be(self.version_length());
        (head & 0xffff).saturating_sub(head >> 22 & 0x3c)
    }

    #[inline(always)]
    fn message_across(kind: u8, code: u8) -> u32 {
        across::message_to_v6(kind, code)
    }

    #[inline(always)]
    fn rest_across(kind: u8, code: u8, rest: u32) -> u32 {
        across::rest_to_v6(kind, code, rest)
    }

    #[inline(always)]
    fn set_payload(&mut self, length: u32) {
        let before = self.version_length();
        let after = (u32::from_be(before) & 0xffff_0000 | (length + Self::LEN as u32)).to_be();
        self.set_version_length(after);
        let change = checksum::difference(Self::sum(before), Self::sum(after));
        self.set_check(checksum::apply(self.check(), change));
    }

    #[inline(always)]
    fn shown(kind: u8, rest: u32) -> u32 {
        let [_, words, ..] = rest.to_ne_bytes();
        if Self::is_error(kind) { u32::from(words) * 4 } else { 0 }
    }

    #[inline(always)]
    fn without_shown(rest: u32) -> u32 {
        rest & 0xff00_ffff_u32.to_be()
    }

    #[inline(always)]
    fn control_sum(_source: u32, _destination: u32, _length: u32) -> u32 {
        0
    }
}

impl Fresh for Ipv6 {
    type Other = Ipv4;

    const ETHERTYPE: u16 = EtherType::IPV6;
    // RFC 4443, section 3.1: 1280 bytes in all.
    const QUOTE: u32 = 1280 - 40 - 8;

    const PORT_UNREACHABLE: (u8, u8) = (icmp_v6::UNREACHABLE, icmp_v6::PORT);
    const HOST_UNREACHABLE: (u8, u8) = (icmp_v6::UNREACHABLE, icmp_v6::ADDRESS);
    const PROHIBITED: (u8, u8) = (icmp_v6::UNREACHABLE, icmp_v6::PROHIBITED);
    const TIME_EXCEEDED: (u8, u8) = (icmp_v6::TIME_EXCEEDED, 0);
    const TOO_BIG: (u8, u8) = (icmp_v6::TOO_BIG, 0);

    #[inline(always)]
    fn compose(&mut self, source: [u32; 4], destination: [u32; 4], protocol: u8, payload: u32) {
        self.set_version();
        self.set_payload_length((payload as u16).to_be());
        (self.next_header, self.hop_limit) = (protocol, FRESH_TTL);
        self.set_source(source);
        self.set_destination(destination);
    }

    #[inline(always)]
    fn class(&self) -> u8 {
        self.traffic_class()
    }

    #[inline(always)]
    fn compose_as(&mut self, header: &NewHeader<Self>) {
        self.set_traffic_class(header.class);
        self.set_payload_length((header.payload as u16).to_be());
        (self.next_header, self.hop_limit) = (header.protocol, header.hops);
        self.set_source(header.source);
        self.set_destination(header.destination);
    }

    #[inline(always)]
    fn payload(&self) -> u32 {
        u16::from_be(self.payload_length()).into()
    }

    #[inline(always)]
    fn message_across(kind: u8, code: u8) -> u32 {
        across::message_to_v4(kind, code)
    }

    #[inline(always)]
    fn rest_across(kind: u8, code: u8, rest: u32) -> u32 {
        across::rest_to_v4(kind, code, rest)
    }

    #[inline(always)]
    fn set_payload(&mut self, length: u32) {
        self.set_payload_length((length as u16).to_be());
    }

    #[inline(always)]
    fn shown(kind: u8, rest: u32) -> u32 {
        let [units, ..] = rest.to_ne_bytes();
        let may = kind == icmp_v6::UNREACHABLE || kind == icmp_v6::TIME_EXCEEDED;
        if may { u32::from(units) * 8 } else { 0 }
    }

    #[inline(always)]
    fn without_shown(rest: u32) -> u32 {
        rest & 0x00ff_ffff_u32.to_be()
    }

    #[inline(always)]
    fn control_sum(source: [u32; 4], destination: [u32; 4], length: u32) -> u32 {
        Self::pseudo_sum(source, destination, Self::ICMP, length)
    }
}
