//! IPv4.

use super::{Ip, N16, N32, Shape};
use crate::checksum;
use privatelink_common::{Addr, Endpoint, Listener, Pool, Service, flow::Slot, hash};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The IPv4 header without options.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Ipv4 {
    /// Version and header length in 32-bit words.
    pub version_ihl: u8,
    /// Differentiated services and congestion bits.
    pub tos: u8,
    /// Length of the packet.
    pub length: N16,
    /// Identification.
    pub id: N16,
    /// Fragment flags and offset.
    pub fragment: N16,
    /// Remaining hops.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Checksum of the header.
    pub check: N16,
    /// Sender.
    pub source: N32,
    /// Receiver.
    pub destination: N32,
}

/// More fragments, or an offset: everything but "don't fragment" and the reserved bit.
const FRAGMENT_MASK: u16 = 0x3fff_u16.to_be();

impl Ipv4 {
    /// The ones' complement sum over the whole header.
    #[inline(always)]
    pub fn sum(&self) -> u32 {
        let half = |high, low| u64::from(u16::from_ne_bytes([high, low]));
        let sum = half(self.version_ihl, self.tos)
            + u64::from(self.length.get())
            + u64::from(self.id.get())
            + u64::from(self.fragment.get())
            + half(self.ttl, self.protocol)
            + u64::from(self.check.get())
            + u64::from(self.source.get())
            + u64::from(self.destination.get());
        checksum::fold64(sum)
    }
}

impl Ip for Ipv4 {
    type Address = u32;

    const LEN: usize = 20;
    const ARRIVES: u32 = 0;
    const LEAVES: u32 = 0;

    #[inline(always)]
    fn shape(&self) -> Shape {
        if self.version_ihl != 0x45 {
            return if self.version_ihl >> 4 == 4 && self.version_ihl & 0xf > 5 {
                Shape::Options
            } else {
                Shape::Malformed
            };
        }
        if self.fragment.get() & FRAGMENT_MASK != 0 {
            return Shape::Fragment;
        }
        Shape::Plain { protocol: self.protocol, length: self.length.value() }
    }

    #[inline(always)]
    fn checksum_holds(&self) -> bool {
        self.sum() == 0xffff
    }

    #[inline(always)]
    fn source(&self) -> u32 {
        self.source.get()
    }

    #[inline(always)]
    fn destination(&self) -> u32 {
        self.destination.get()
    }

    #[inline(always)]
    fn ttl(&self) -> u8 {
        self.ttl
    }

    #[inline(always)]
    fn readdress(&mut self, source: u32, destination: u32, l3_delta: u16) {
        self.source.set(source);
        self.destination.set(destination);
        self.ttl = self.ttl.wrapping_sub(1);
        self.check.set(checksum::apply(self.check.get(), l3_delta));
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
    fn sum(address: u32) -> u32 {
        (address & 0xffff) + (address >> 16)
    }
}
