//! Neighbour discovery (RFC 4861).

use super::{N16, N32, WireMac};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A neighbour solicitation or advertisement, without its options.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct NeighbourMessage {
    /// ICMPv6 type.
    pub kind: u8,
    /// ICMPv6 code.
    pub code: u8,
    /// Checksum.
    pub check: N16,
    /// Router, solicited and override flags in the first byte of an advertisement.
    pub flags: [u8; 4],
    /// The address in question.
    pub target: [N32; 4],
}

impl NeighbourMessage {
    /// Who has it?
    pub const SOLICITATION: u8 = 135;
    /// I have.
    pub const ADVERTISEMENT: u8 = 136;
    /// The answer to a question.
    pub const SOLICITED: u8 = 0x40;
    /// Replaces what the receiver had cached.
    pub const OVERRIDE: u8 = 0x20;

    /// The address in question, in machine words.
    pub fn target(&self) -> [u32; 4] {
        let [a, b, c, d] = &self.target;
        [a.get(), b.get(), c.get(), d.get()]
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
    /// The address.
    pub mac: WireMac,
}

impl NeighbourOption {
    /// The address of the one that the message is about.
    pub const TARGET: u8 = 2;
}
