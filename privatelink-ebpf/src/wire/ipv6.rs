//! IPv6.

use super::{Ip, N16, N32, Shape};
use privatelink_common::{
    Addr, Endpoint, Listener, Pool, Service, TCP, UDP,
    flow::{Slot, word},
    hash,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The IPv6 header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Ipv6 {
    /// Version, traffic class and flow label.
    pub version_class_label: [u8; 4],
    /// Length of what follows this header.
    pub payload_length: N16,
    /// Kind of what follows this header.
    pub next_header: u8,
    /// Remaining hops.
    pub hop_limit: u8,
    /// Sender.
    pub source: [N32; 4],
    /// Receiver.
    pub destination: [N32; 4],
}

impl Ipv6 {
    /// Fragment extension header.
    pub const FRAGMENT: u8 = 44;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;

    /// Puts both addresses.
    #[inline(always)]
    pub fn put_addresses(&mut self, source: [u32; 4], destination: [u32; 4]) {
        set_words(&mut self.source, source);
        set_words(&mut self.destination, destination);
    }

    /// Whether a next header is an extension header (RFC 7045) rather than a protocol.
    fn is_extension(next_header: u8) -> bool {
        matches!(next_header, 0 | 43 | 50 | 51 | 60 | 135 | 139 | 140 | 253 | 254)
    }
}

#[inline(always)]
fn words(address: &[N32; 4]) -> [u32; 4] {
    let [a, b, c, d] = address;
    [a.get(), b.get(), c.get(), d.get()]
}

#[inline(always)]
fn set_words(address: &mut [N32; 4], words: [u32; 4]) {
    let [a, b, c, d] = address;
    a.set(words[0]);
    b.set(words[1]);
    c.set(words[2]);
    d.set(words[3]);
}

impl Ip for Ipv6 {
    type Address = [u32; 4];

    const LEN: usize = 40;
    const ARRIVES: u32 = word::ARRIVES_V6;
    const LEAVES: u32 = word::LEAVES_V6;

    #[inline(always)]
    fn shape(&self) -> Shape {
        if self.version_class_label[0] >> 4 != 6 {
            return Shape::Malformed;
        }
        let protocol = self.next_header;
        if protocol != TCP && protocol != UDP {
            if protocol == Self::FRAGMENT {
                return Shape::Fragment;
            }
            if Self::is_extension(protocol) {
                return Shape::Options;
            }
        }
        // A jumbogram's length of zero ends up shorter than its own header.
        let length = self.payload_length.value().saturating_add(Self::LEN as u16);
        Shape::Plain { protocol, length }
    }

    #[inline(always)]
    fn checksum_holds(&self) -> bool {
        true
    }

    #[inline(always)]
    fn source(&self) -> [u32; 4] {
        words(&self.source)
    }

    #[inline(always)]
    fn destination(&self) -> [u32; 4] {
        words(&self.destination)
    }

    #[inline(always)]
    fn ttl(&self) -> u8 {
        self.hop_limit
    }

    #[inline(always)]
    fn readdress(&mut self, source: [u32; 4], destination: [u32; 4], _l3_delta: u16) {
        self.put_addresses(source, destination);
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
    fn sum(a: [u32; 4]) -> u32 {
        let half = |w: u32| (w & 0xffff) + (w >> 16);
        half(a[0]) + half(a[1]) + half(a[2]) + half(a[3])
    }
}
