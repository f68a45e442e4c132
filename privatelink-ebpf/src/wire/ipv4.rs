//! IPv4.

use super::{
    checksum,
    extension::Fragment,
    icmp::{Control, FRESH_TTL, Quoted, icmp_v4},
    ip::{Datagram, Ip},
    word::{fields, load, store},
};
use privatelink_common::{
    Addr, Endpoint, Listener, Pool, Reason, RuleNode, Service, flow::Slot, hash, sip::Prf,
    ticks_from_millis,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The IPv4 header without options.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Ipv4 {
    version_length: [u8; 4],
    fragment: [u8; 4],
    /// Time to live.
    pub ttl: u8,
    /// Kind of what follows this header.
    pub protocol: u8,
    check: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

fields!(Ipv4:
    /// Version, header length, traffic class and length.
    version_length: u32 = set_version_length;
    /// Identification, fragment flags and offset.
    fragment: u32 = set_fragment;
    /// Checksum of the header.
    check: u16 = set_check;
    /// Source address, as the machine loads its bytes.
    source: u32 = set_source;
    /// Destination address, as the machine loads its bytes.
    destination: u32 = set_destination;
);

/// More fragments, or an offset: everything but "don't fragment" and the reserved bit.
const FRAGMENT_MASK: u32 = 0x3fff_u32.to_be();

/// The offset of a fragment.
const OFFSET_MASK: u32 = 0x1fff_u32.to_be();

impl Ipv4 {
    /// Time to live, protocol and checksum.
    #[inline(always)]
    fn ttl_protocol_check(&self) -> u32 {
        const AT: usize = core::mem::offset_of!(Ipv4, ttl);
        load!(u32, self, AT)
    }

    /// Version of the protocol.
    #[inline(always)]
    pub fn version(&self) -> u32 {
        u32::from_be(self.version_length()) >> 28
    }

    /// Length of the header with its options.
    #[inline(always)]
    pub fn header_length(&self) -> u32 {
        (u32::from_be(self.version_length()) >> 24 & 0xf) * 4
    }

    /// Which part of a datagram the packet is.
    #[inline(always)]
    pub fn fragmented(&self) -> Fragment {
        let field = u32::from_be(self.fragment());
        Fragment { place: (field << 3 | field >> 13 & 1) as u16, at: 0 }
    }

    /// Flags and offset of the part of a datagram with this place.
    #[inline(always)]
    pub fn fragment_field(place: u16) -> u32 {
        u32::from(place.rotate_right(3))
    }

    /// What the header says, unchecked.
    #[inline(always)]
    pub fn claims(&self) -> Datagram<Self> {
        Datagram {
            source: self.source(),
            destination: self.destination(),
            protocol: u32::from(self.protocol),
            length: u32::from_be(self.version_length()) & 0xffff,
        }
    }

    /// The number that all fragments of a datagram have.
    #[inline(always)]
    pub fn identification(&self) -> u32 {
        u32::from_be(self.fragment()) >> 16
    }

    /// Gives a fragment another number, and the checksum that goes with it.
    #[inline(always)]
    pub fn renumber(&mut self, identification: u32) {
        const AT: usize = core::mem::offset_of!(Ipv4, fragment);
        let (old, new) = (load!(u16, self, AT), (identification as u16).to_be());
        store!(u16, self, AT, new);
        let change = checksum::difference(u32::from(old), u32::from(new));
        self.set_check(checksum::apply(self.check(), change));
    }

    /// The sum of the words of the header without options.
    #[inline(always)]
    pub fn word_sum(&self) -> u64 {
        u64::from(self.version_length())
            + u64::from(self.fragment())
            + u64::from(self.ttl_protocol_check())
            + u64::from(self.source())
            + u64::from(self.destination())
    }
}

impl Ip for Ipv4 {
    type Address = u32;

    const LEN: usize = 20;
    const ARRIVES: u32 = 0;
    const RULES: u32 = RuleNode::ROOT_V4;
    const LEAVES: u32 = 0;
    const FRAGMENT_LEN: usize = 0;
    const UDP_MAY_LACK_CHECKSUM: bool = true;
    const IDENTIFIED_BY_PROTOCOL: bool = true;
    const REASSEMBLY_TICKS: u32 = ticks_from_millis(30_000);

    #[inline(always)]
    fn datagram(&self) -> Result<Datagram<Self>, Reason> {
        let first = self.version_length();
        let head = u32::from_be(first);
        if head >> 24 != 0x45 {
            let options = head >> 28 == 4 && head >> 24 & 0xf > 5;
            return Err(if options { Reason::Options } else { Reason::Malformed });
        }
        let fragment = self.fragment();
        if fragment & FRAGMENT_MASK != 0 {
            return Err(Reason::Fragment);
        }
        let length = head & 0xffff;
        if length < Self::LEN as u32 {
            return Err(Reason::Malformed);
        }
        let third = self.ttl_protocol_check();
        let (source, destination) = (self.source(), self.destination());
        let sum = u64::from(first)
            + u64::from(fragment)
            + u64::from(third)
            + u64::from(source)
            + u64::from(destination);
        if !checksum::is_whole(sum) {
            return Err(Reason::BadChecksum);
        }
        let protocol = u32::from_be(third) >> 16 & 0xff;
        Ok(Datagram { source, destination, protocol, length })
    }

    #[inline(always)]
    fn receiver(&self) -> u32 {
        self.destination()
    }

    #[inline(always)]
    fn ttl(&self) -> u8 {
        self.ttl
    }

    #[inline(always)]
    fn readdress(&mut self, source: u32, destination: u32, l3_delta: u16) {
        self.set_source(source);
        self.set_destination(destination);
        self.ttl = self.ttl.wrapping_sub(1);
        self.set_check(checksum::apply(self.check(), l3_delta));
    }

    #[inline(always)]
    fn from_addr(address: &Addr) -> u32 {
        address.words()[3]
    }

    #[inline(always)]
    fn to_addr(address: u32) -> Addr {
        Addr::from_v4_word(address)
    }

    #[inline(always)]
    fn of_endpoint(endpoint: &Endpoint) -> u32 {
        endpoint.v4
    }

    #[inline(always)]
    fn of_client(slot: &Slot) -> u32 {
        slot.client_last4()
    }

    #[inline(always)]
    fn backends(listener: &Listener) -> Pool {
        listener.backends_v4
    }

    #[inline(always)]
    fn sources(service: &Service) -> Pool {
        service.sources_v4
    }

    #[inline(always)]
    fn hash(source: u32, destination: u32, key: impl Fn(usize) -> u32) -> u64 {
        hash::pair(key(2), source, key(3), destination)
    }

    #[inline(always)]
    fn absorb(prf: Prf, source: u32, destination: u32) -> Prf {
        prf.word(u64::from(destination) << 32 | u64::from(source))
    }

    #[inline(always)]
    fn sum(address: u32) -> u32 {
        (address & 0xffff) + (address >> 16)
    }
}

impl Control for Ipv4 {
    const ICMP: u8 = icmp_v4::PROTOCOL;
    const ECHO_REQUEST: u8 = icmp_v4::ECHO_REQUEST;
    const ECHO_REPLY: u8 = icmp_v4::ECHO_REPLY;

    #[inline(always)]
    fn follows(&self) -> u8 {
        self.protocol
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
        let word = |ttl| u32::from(u16::from_ne_bytes([ttl, self.protocol]));
        let change = checksum::difference(word(self.ttl), word(FRESH_TTL));
        self.ttl = FRESH_TTL;
        self.set_check(checksum::apply(self.check(), change));
    }

    #[inline(always)]
    fn is_host(address: u32) -> bool {
        let first = u32::from_be(address) >> 24;
        first != 0 && first != 127 && first < 224
    }

    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        use icmp_v4::{PARAMETER_PROBLEM, TIME_EXCEEDED, UNREACHABLE};
        kind == UNREACHABLE || kind == TIME_EXCEEDED || kind == PARAMETER_PROBLEM
    }

    #[inline(always)]
    fn is_unreachable(kind: u8, code: u8) -> bool {
        kind == icmp_v4::UNREACHABLE && code != icmp_v4::FRAGMENTATION_NEEDED
    }

    #[inline(always)]
    fn quoted(&self) -> Result<Quoted<Self>, Reason> {
        let head = u32::from_be(self.version_length());
        let length = head >> 22 & 0x3c;
        if head >> 28 != 4 || length < Self::LEN as u32 {
            return Err(Reason::Malformed);
        }
        // Only the first fragment has the ports.
        if self.fragment() & OFFSET_MASK != 0 {
            return Err(Reason::IcmpUnrelated);
        }
        let (source, destination) = (self.source(), self.destination());
        Ok(Quoted { source, destination, protocol: u32::from(self.protocol), length })
    }

    #[inline(always)]
    fn requote(&mut self, source: u32, destination: u32, gain: u16) -> u16 {
        self.set_source(source);
        self.set_destination(destination);
        let before = self.check();
        let after = checksum::apply(before, gain);
        self.set_check(after);
        checksum::difference(u32::from(before), u32::from(after))
    }

    #[inline(always)]
    fn pseudo_header(_gain: u16) -> u16 {
        0
    }
}
