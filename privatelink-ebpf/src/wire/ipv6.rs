//! IPv6.

use super::{
    extension::Extension,
    icmp::{Control, FRESH_TTL, Quoted, icmp_v6},
    ip::{Datagram, Ip},
    word::{fields, load, store},
};
use privatelink_common::{
    Addr, Endpoint, Listener, Pool, Reason, RuleNode, Service, TCP, UDP,
    flow::{Slot, word},
    hash,
    sip::Prf,
    ticks_from_millis,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The IPv6 header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Ipv6 {
    /// Version, and the first bits of the traffic class.
    version_class: u8,
    class_label: [u8; 3],
    payload_length: [u8; 2],
    /// Kind of what follows this header.
    pub next_header: u8,
    /// How many routers may still forward the packet.
    pub hop_limit: u8,
    source: [[u8; 4]; 4],
    destination: [[u8; 4]; 4],
}

fields!(Ipv6:
    /// Length of what follows this header.
    payload_length: u16 = set_payload_length;
);

/// Loads and stores one of the two addresses, word by word.
macro_rules! address {
    ($field:ident, $load:ident, $store:ident) => {
        impl Ipv6 {
            /// The address in machine words.
            #[inline(always)]
            pub fn $load(&self) -> [u32; 4] {
                const AT: usize = core::mem::offset_of!(Ipv6, $field);
                [
                    load!(u32, self, AT),
                    load!(u32, self, AT + 4),
                    load!(u32, self, AT + 8),
                    load!(u32, self, AT + 12),
                ]
            }

            /// Replaces the address.
            #[inline(always)]
            pub fn $store(&mut self, [a, b, c, d]: [u32; 4]) {
                const AT: usize = core::mem::offset_of!(Ipv6, $field);
                store!(u32, self, AT, a);
                store!(u32, self, AT + 4, b);
                store!(u32, self, AT + 8, c);
                store!(u32, self, AT + 12, d);
            }
        }
    };
}

address!(source, source, set_source);
address!(destination, destination, set_destination);

impl Ipv6 {
    /// Fragment extension header.
    pub const FRAGMENT: u8 = 44;
    /// ICMPv6.
    pub const ICMPV6: u8 = icmp_v6::PROTOCOL;

    /// Whether an address is valid on one link only.
    #[inline(always)]
    pub fn is_link_local(address: [u32; 4]) -> bool {
        address[0] & 0xffc0_0000_u32.to_be() == 0xfe80_0000_u32.to_be()
    }

    /// Whether an address is that of a group.
    #[inline(always)]
    pub fn is_group(address: [u32; 4]) -> bool {
        address[0] & 0xff00_0000_u32.to_be() == 0xff00_0000_u32.to_be()
    }

    /// What the header says, unchecked.
    #[inline(always)]
    pub fn claims(&self) -> Datagram<Self> {
        // A jumbogram's length of zero ends up too short for any transport header.
        let length = u32::from(u16::from_be(self.payload_length())) + Self::LEN as u32;
        Datagram {
            source: self.source(),
            destination: self.destination(),
            protocol: u32::from(self.next_header),
            length,
        }
    }

    /// Puts the version, and neither traffic class nor flow label.
    #[inline(always)]
    pub fn set_version(&mut self) {
        const AT: usize = core::mem::offset_of!(Ipv6, version_class);
        store!(u32, self, AT, 0x6000_0000_u32.to_be());
    }

    /// Class of traffic.
    #[inline(always)]
    pub fn traffic_class(&self) -> u8 {
        const AT: usize = core::mem::offset_of!(Ipv6, version_class);
        (u32::from_be(load!(u32, self, AT)) >> 20) as u8
    }

    /// Puts the version and the class of traffic, and no flow label.
    #[inline(always)]
    pub fn set_traffic_class(&mut self, class: u8) {
        const AT: usize = core::mem::offset_of!(Ipv6, version_class);
        let word = 0x6000_0000 | u32::from(class) << 20;
        store!(u32, self, AT, word.to_be());
    }

    /// Whether an address is an IPv4-mapped one, which the maps hold for IPv4.
    #[inline(always)]
    pub fn is_v4_mapped(address: [u32; 4]) -> bool {
        address[0] | address[1] | (address[2] ^ 0xffff_u32.to_be()) == 0
    }

    /// Whether a next header is an extension header (RFC 7045) rather than a protocol.
    fn is_extension(next_header: u8) -> bool {
        matches!(next_header, 0 | 43 | 50 | 51 | 60 | 135 | 139 | 140 | 253 | 254)
    }
}

impl Ip for Ipv6 {
    type Address = [u32; 4];

    const LEN: usize = 40;
    const ARRIVES: u32 = word::ARRIVES_V6;
    const RULES: u32 = RuleNode::ROOT_V6;
    const LEAVES: u32 = word::LEAVES_V6;
    const FRAGMENT_LEN: usize = size_of::<Extension>();
    // RFC 8200, section 8.1.
    const UDP_MAY_LACK_CHECKSUM: bool = false;
    const IDENTIFIED_BY_PROTOCOL: bool = false;
    const REASSEMBLY_TICKS: u32 = ticks_from_millis(60_000);

    #[inline(always)]
    fn datagram(&self) -> Result<Datagram<Self>, Reason> {
        if self.version_class >> 4 != 6 {
            return Err(Reason::Malformed);
        }
        let protocol = self.next_header;
        if protocol != TCP && protocol != UDP {
            if protocol == Self::FRAGMENT {
                return Err(Reason::Fragment);
            }
            if Self::is_extension(protocol) {
                return Err(Reason::Options);
            }
        }
        // A jumbogram's length of zero ends up too short for any transport header.
        let length = u32::from(u16::from_be(self.payload_length())) + Self::LEN as u32;
        Ok(Datagram {
            source: self.source(),
            destination: self.destination(),
            protocol: u32::from(protocol),
            length,
        })
    }

    #[inline(always)]
    fn receiver(&self) -> [u32; 4] {
        self.destination()
    }

    #[inline(always)]
    fn is_mapped(&self) -> bool {
        Self::is_v4_mapped(self.source()) || Self::is_v4_mapped(self.destination())
    }

    #[inline(always)]
    fn ttl(&self) -> u8 {
        self.hop_limit
    }

    #[inline(always)]
    fn readdress(&mut self, source: [u32; 4], destination: [u32; 4], _l3_delta: u16) {
        self.set_source(source);
        self.set_destination(destination);
        self.hop_limit = self.hop_limit.wrapping_sub(1);
    }

    #[inline(always)]
    fn from_addr(address: &Addr) -> [u32; 4] {
        address.words()
    }

    #[inline(always)]
    fn to_addr(address: [u32; 4]) -> Addr {
        Addr::from_words(address)
    }

    #[inline(always)]
    fn of_endpoint(endpoint: &Endpoint) -> [u32; 4] {
        endpoint.v6.words()
    }

    #[inline(always)]
    fn of_client(slot: &Slot) -> [u32; 4] {
        slot.client()
    }

    #[inline(always)]
    fn backends(listener: &Listener) -> Pool {
        listener.backends_v6
    }

    #[inline(always)]
    fn sources(service: &Service) -> Pool {
        service.sources_v6
    }

    #[inline(always)]
    fn hash(source: [u32; 4], destination: [u32; 4], key: impl Fn(usize) -> u32) -> u64 {
        hash::pair(key(2), source[0], key(3), source[1])
            .wrapping_add(hash::pair(key(4), source[2], key(5), source[3]))
            .wrapping_add(hash::pair(key(6), destination[0], key(7), destination[1]))
            .wrapping_add(hash::pair(key(8), destination[2], key(9), destination[3]))
    }

    #[inline(always)]
    fn absorb(prf: Prf, source: [u32; 4], destination: [u32; 4]) -> Prf {
        let joined = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let ([a, b, c, d], [e, f, g, h]) = (source, destination);
        prf.word(joined(a, b)).word(joined(c, d)).word(joined(e, f)).word(joined(g, h))
    }

    #[inline(always)]
    fn sum(a: [u32; 4]) -> u32 {
        let half = |w: u32| (w & 0xffff) + (w >> 16);
        half(a[0]) + half(a[1]) + half(a[2]) + half(a[3])
    }
}

impl Control for Ipv6 {
    const ICMP: u8 = icmp_v6::PROTOCOL;
    const ECHO_REQUEST: u8 = icmp_v6::ECHO_REQUEST;
    const ECHO_REPLY: u8 = icmp_v6::ECHO_REPLY;

    #[inline(always)]
    fn follows(&self) -> u8 {
        self.next_header
    }

    #[inline(always)]
    fn address_sum(&self) -> u32 {
        Self::sum(self.source()) + Self::sum(self.destination())
    }

    #[inline(always)]
    fn turn_back(&mut self) {
        let (source, destination) = (self.source(), self.destination());
        self.set_source(destination);
        self.set_destination(source);
        self.hop_limit = FRESH_TTL;
    }

    #[inline(always)]
    fn is_host(address: [u32; 4]) -> bool {
        let [first, ..] = address[0].to_ne_bytes();
        let low = address[0] | address[1] | address[2];
        let unspecified_or_loopback = low == 0 && u32::from_be(address[3]) <= 1;
        first != 0xff && !unspecified_or_loopback
    }

    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        matches!(kind, icmp_v6::UNREACHABLE..=icmp_v6::PARAMETER_PROBLEM)
    }

    #[inline(always)]
    fn is_unreachable(kind: u8, _code: u8) -> bool {
        kind == icmp_v6::UNREACHABLE
    }

    #[inline(always)]
    fn quoted(&self) -> Result<Quoted<Self>, Reason> {
        if self.version_class >> 4 != 6 {
            return Err(Reason::Malformed);
        }
        let (source, destination) = (self.source(), self.destination());
        let (protocol, length) = (u32::from(self.next_header), Self::LEN as u32);
        Ok(Quoted { source, destination, protocol, length })
    }

    #[inline(always)]
    fn requote(&mut self, source: [u32; 4], destination: [u32; 4], _gain: u16) -> u16 {
        self.set_source(source);
        self.set_destination(destination);
        0
    }

    #[inline(always)]
    fn pseudo_header(gain: u16) -> u16 {
        gain
    }
}
