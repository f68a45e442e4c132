//! Datagrams whose fragments are on their way through the gateway.
//!
//! Only the first fragment of a datagram has ports; an entry remembers them for the others. The
//! table is split by network, so that one that floods it with beginnings pushes out its own and
//! those of the networks that share its part, and no others.

use crate::cell::Word32;

/// Entries of the table.
pub const ENTRIES: u32 = 16_384;
/// Parts of the table; a network has that of its index modulo this.
pub const PARTS: u32 = 16;
/// Entries among which a datagram's is searched for.
pub const WAYS: u32 = 8;
/// Buckets of a part.
pub const BUCKETS: u32 = ENTRIES / PARTS / WAYS;

/// What is known of a datagram whose first fragment was forwarded.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Fragmented {
    /// Which datagram it is, by a keyed hash; or a value below [`Fragmented::LEAST_TAG`].
    pub tag: Word32,
    /// Tick of the first fragment.
    pub since: Word32,
    /// Source and destination port as on the wire.
    pub ports: Word32,
    /// IP protocol number in the upper half; where the transport header ends in the lower.
    pub transport: Word32,
    /// Bytes of the datagram, once its last fragment has arrived; else zero.
    pub length: Word32,
    /// Bytes of it that went through.
    pub arrived: Word32,
    /// The identification that it goes on with.
    pub identification: Word32,
    /// Of those address pairs whose hash is this entry's index, whichever datagram the entry
    /// itself is about: how many fragmented datagrams have begun.
    pub begun: Word32,
}

impl Fragmented {
    /// Tag of an unused entry.
    pub const FREE: u32 = 0;
    /// Tag of an entry that is being written.
    pub const BUSY: u32 = 1;
    /// Tags of datagrams are no less.
    pub const LEAST_TAG: u32 = 2;
}

const _: () = {
    assert!(size_of::<Fragmented>() == 32);
    assert!(BUCKETS.is_power_of_two());
};
