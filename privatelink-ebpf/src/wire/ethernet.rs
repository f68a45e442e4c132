//! Ethernet II.

use super::word::fields;
use privatelink_common::{Mac, flow::split_mac};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the header without tags.
pub const ETHERNET_LEN: usize = 14;

/// An Ethernet address in two machine words: two bytes, then four.
pub type MacWords = (u16, u32);

/// The Ethernet header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Ethernet {
    to_high: [u8; 2],
    to_low: [u8; 4],
    from_high: [u8; 2],
    from_low: [u8; 4],
    ethertype: [u8; 2],
}

fields!(Ethernet:
    /// Receiver, first two bytes.
    to_high: u16 = set_to_high;
    /// Receiver, last four bytes.
    to_low: u32 = set_to_low;
    /// Sender, first two bytes.
    from_high: u16 = set_from_high;
    /// Sender, last four bytes.
    from_low: u32 = set_from_low;
    /// Kind of the payload: an [`EtherType`].
    ethertype: u16 = set_ethertype;
);

impl Ethernet {
    /// The MAC address that the frame is for, in two machine words.
    #[inline(always)]
    pub fn to(&self) -> MacWords {
        (self.to_high(), self.to_low())
    }

    /// The MAC address that the frame comes from, in two machine words.
    #[inline(always)]
    pub fn from(&self) -> MacWords {
        (self.from_high(), self.from_low())
    }

    /// Puts both addresses.
    #[inline(always)]
    pub fn readdress(&mut self, from: MacWords, to: MacWords) {
        self.set_to_high(to.0);
        self.set_to_low(to.1);
        self.set_from_high(from.0);
        self.set_from_low(from.1);
    }

    /// Addresses the frame to its sender, from `mac`.
    #[inline(always)]
    pub fn turn_back(&mut self, mac: Mac) {
        self.readdress(split_mac(mac), self.from());
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
    /// An 802.1Q tag, and something else behind it.
    pub const TAGGED: u16 = 0x8100_u16.to_be();
    /// An 802.1ad tag.
    pub const SERVICE_TAGGED: u16 = 0x88a8_u16.to_be();
    /// IPv6.
    pub const IPV6: u16 = 0x86dd_u16.to_be();
}
