//! The headers between an IP header and the transport's.

use super::word::fields;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Default)]
pub struct Fragment {
    /// Where it belongs in the datagram, in bytes, a multiple of eight; odd if more follow. Zero
    /// for a whole datagram.
    pub place: u16,
    /// Where in the frame IPv6's fragment header stands, or zero.
    pub at: u16,
}

impl Fragment {
    /// Whether more of the datagram follows.
    pub const MORE: u16 = 1;
    /// Bits of the place that are the offset.
    pub const OFFSET: u16 = 0xfff8;

    /// Whether it is the first of several.
    #[inline(always)]
    pub fn is_first(self) -> bool {
        self.place == Self::MORE
    }

    /// Whether it lacks the transport header.
    #[inline(always)]
    pub fn is_later(self) -> bool {
        self.offset() != 0
    }

    /// Whether it is not the whole datagram.
    #[inline(always)]
    pub fn is_part(self) -> bool {
        self.place != 0
    }

    /// Whether more of the datagram follows.
    #[inline(always)]
    pub fn has_more(self) -> bool {
        self.place & Self::MORE != 0
    }

    /// Where it belongs in the datagram, in bytes.
    #[inline(always)]
    pub fn offset(self) -> u32 {
        u32::from(self.place & Self::OFFSET)
    }
}

/// The head of an IPv6 extension header, or all of a fragment header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Extension {
    /// Kind of what follows.
    pub next: u8,
    length: u8,
    third: u8,
    fourth: u8,
    identification: [u8; 4],
}

fields!(Extension:
    /// Identification of a fragment's datagram.
    identification: u32 = set_identification;
);

impl Extension {
    /// Options that every hop may look at.
    pub const HOP_BY_HOP: u32 = 0;
    /// The way that the packet is to take.
    pub const ROUTING: u32 = 43;
    /// A fragment.
    pub const FRAGMENT: u32 = 44;
    /// Options for the receiver.
    pub const DESTINATION: u32 = 60;

    /// Whether what stands behind a header of this kind can be found and changed.
    #[inline(always)]
    pub fn is_followed(kind: u32) -> bool {
        kind == Self::HOP_BY_HOP
            || kind == Self::ROUTING
            || kind == Self::FRAGMENT
            || kind == Self::DESTINATION
    }

    /// Its length, if it is not a fragment header.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        (u32::from(self.length) + 1) * 8
    }

    /// How many stations a routing header still has.
    #[inline(always)]
    pub fn segments_left(&self) -> u8 {
        self.fourth
    }

    /// Writes all of a fragment header.
    #[inline(always)]
    pub fn compose(&mut self, next: u8, place: u16, identification: u32) {
        let [third, fourth] = place.to_be_bytes();
        (self.next, self.length, self.third, self.fourth) = (next, 0, third, fourth);
        self.set_identification(identification.to_be());
    }

    /// [`Fragment::place`] in a fragment header.
    #[inline(always)]
    pub fn place(&self) -> u16 {
        u16::from_be_bytes([self.third, self.fourth]) & (Fragment::OFFSET | Fragment::MORE)
    }
}

/// Kinds of IPv4's options, and how they begin.
pub mod option {
    /// Bytes for kind and length, which all options have that are not a single byte.
    pub const HEAD: u32 = 2;
    /// Ends the options; a single byte.
    pub const END: u8 = 0;
    /// Nothing; a single byte.
    pub const NOTHING: u8 = 1;
    /// Loose source and record route.
    pub const LOOSE_ROUTE: u8 = 131;
    /// Strict source and record route.
    pub const STRICT_ROUTE: u8 = 137;
}

/// Four bytes.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Word {
    value: [u8; 4],
}

fields!(Word:
    /// As the machine loads them.
    value: u32 = set_value;
);
