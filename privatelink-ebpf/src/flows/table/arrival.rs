//! The tuple by which a flow is known.

use crate::{environment::Tables, wire::Ip};
use privatelink_common::hash;

/// A packet's tuple as it arrives.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Arrival<I: Ip> {
    /// Index of the network.
    pub network: u32,
    /// Source address, in the family's own form.
    pub source: I::Address,
    /// Destination address, in the family's own form.
    pub destination: I::Address,
    /// Source and destination port as on the wire.
    pub ports: u32,
    /// IP protocol number.
    pub protocol: u32,
}

/// Why a tuple could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The tuple is in the table already.
    Exists,
    /// The region has no room.
    Full,
    /// Another CPU held the region for too long.
    Contended,
}

impl<I: Ip> Arrival<I> {
    /// The keyed hash of the tuple.
    #[inline(always)]
    pub fn hash<T: Tables>(&self, tables: &T) -> u64 {
        let key = |index| tables.hash_key(index);
        let whose = self.network << 8 | self.protocol;
        let sum = hash::pair(key(0), self.ports, key(1), whose).wrapping_add(I::hash(
            self.source,
            self.destination,
            key,
        ));
        hash::finish(sum)
    }

    /// [`Arrival::hash`] out of line: the stack is nearly full where fragments are looked up.
    #[inline(never)]
    pub fn hash_slowly<T: Tables>(&self, tables: &T) -> u64 {
        self.hash(tables)
    }

    /// The ones' complement sum over addresses.
    #[inline(never)]
    pub fn address_sum(&self) -> u32 {
        I::sum(self.source) + I::sum(self.destination)
    }

    /// The ones' complement sum over ports.
    #[inline(always)]
    pub fn port_sum(&self) -> u32 {
        (self.ports & 0xffff) + (self.ports >> 16)
    }
}
