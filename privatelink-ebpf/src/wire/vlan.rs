//! 802.1Q.

use super::word::fields;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What follows the Ethernet header of a tagged frame, whose ethertype is
/// [`EtherType::TAGGED`](super::EtherType::TAGGED).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct VlanTag {
    control: [u8; 2],
    ethertype: [u8; 2],
}

fields!(VlanTag:
    /// Priority and VLAN.
    control: u16 = set_control;
    /// Kind of the payload.
    ethertype: u16 = set_ethertype;
);

impl VlanTag {
    /// Where the VLAN stands in a tag.
    pub const VLAN: u16 = 0x0fff;
    /// Where the priority stands in a tag.
    pub const PRIORITY: u16 = 0xe000;
}
