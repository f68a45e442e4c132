//! Neighbour discovery (RFC 4861).

use super::word::fields;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A neighbour solicitation or advertisement, without its options.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct NeighbourMessage {
    /// ICMPv6 type.
    pub kind: u8,
    /// ICMPv6 code.
    pub code: u8,
    check: [u8; 2],
    /// Router, solicited and override flags in the first byte of an advertisement.
    pub flags: [u8; 4],
    target_0: [u8; 4],
    target_1: [u8; 4],
    target_2: [u8; 4],
    target_3: [u8; 4],
}

fields!(NeighbourMessage:
    /// Checksum.
    check: u16 = set_check;
    /// The address in question, bytes 0 to 3.
    target_0: u32;
    /// The address in question, bytes 4 to 7.
    target_1: u32;
    /// The address in question, bytes 8 to 11.
    target_2: u32;
    /// The address in question, bytes 12 to 15.
    target_3: u32;
);

impl NeighbourMessage {
    /// Asks for the Ethernet address of an IPv6 address.
    pub const SOLICITATION: u8 = 135;
    /// Announces the Ethernet address of an IPv6 address.
    pub const ADVERTISEMENT: u8 = 136;
    /// Set in an answer to a solicitation.
    pub const SOLICITED: u8 = 0x40;
    /// Makes the receiver replace its cached entry.
    pub const OVERRIDE: u8 = 0x20;

    /// The address in question.
    pub fn target(&self) -> [u32; 4] {
        [self.target_0(), self.target_1(), self.target_2(), self.target_3()]
    }
}

/// A link-layer address option.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct NeighbourOption {
    /// Source or target link-layer address.
    pub kind: u8,
    /// Length in units of 8 bytes.
    pub length: u8,
    mac_high: [u8; 2],
    mac_low: [u8; 4],
}

fields!(NeighbourOption:
    /// The address, first two bytes.
    mac_high: u16 = set_mac_high;
    /// The address, last four bytes.
    mac_low: u32 = set_mac_low;
);

impl NeighbourOption {
    /// The address of the one that sends the message.
    pub const SOURCE: u8 = 1;
    /// The address of the one that the message is about.
    pub const TARGET: u8 = 2;
}
