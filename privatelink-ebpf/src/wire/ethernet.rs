//! Ethernet II.

use super::{N16, N32};
use privatelink_common::{
    Mac,
    flow::{join_mac, split_mac},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the header without tags.
pub const ETHERNET_LEN: usize = 14;

/// The Ethernet header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Ethernet {
    /// Receiver.
    pub destination: WireMac,
    /// Sender.
    pub source: WireMac,
    /// Kind of the payload: an [`EtherType`].
    pub ethertype: N16,
}

/// An Ethernet address in a frame.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct WireMac {
    high: N16,
    low: N32,
}

impl WireMac {
    /// The address in two machine words.
    #[inline(always)]
    pub fn words(&self) -> (u16, u32) {
        (self.high.get(), self.low.get())
    }

    /// The address.
    #[inline(always)]
    pub fn get(&self) -> Mac {
        let (high, low) = self.words();
        join_mac(high, low)
    }

    /// Replaces the address.
    #[inline(always)]
    pub fn set(&mut self, mac: Mac) {
        self.set_words(split_mac(mac));
    }

    /// Replaces the address by one in two machine words.
    #[inline(always)]
    pub fn set_words(&mut self, (high, low): (u16, u32)) {
        self.high.set(high);
        self.low.set(low);
    }
}

/// Kinds of an Ethernet frame's payload, as the machine loads them.
#[non_exhaustive]
pub struct EtherType;

impl EtherType {
    /// ARP.
    pub const ARP: u16 = 0x0806_u16.to_be();
    /// IPv4.
    pub const IPV4: u16 = 0x0800_u16.to_be();
    /// IPv6.
    pub const IPV6: u16 = 0x86dd_u16.to_be();
}
