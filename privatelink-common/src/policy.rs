//! Who may use an endpoint, and how much of the gateway it may take.

use crate::cell::{Word32, Word64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which node of which set of rules: a set by the hash of its content, and a number in it. A set
/// never changes, so that no packet meets half of one set and half of the next.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct RuleKey {
    /// Identity of the rule set.
    pub set: [u32; 2],
    /// Number of the node in it.
    pub number: u32,
}

/// Intervals of one node.
pub const NODE_INTERVALS: usize = 32;
/// Nodes that a search passes at most: three for the address, two for the port.
pub const NODE_DEPTH: u32 = 5;

/// Where an interval begins: a number of 128 bits. Addresses count by their family's order, IPv4 ones
/// in the lowest 32 bits; ports by theirs.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct Bound {
    /// The upper half.
    pub high: u64,
    /// The lower half.
    pub low: u64,
}

/// A node of the search tree that a set of security rules is compiled into.
///
/// It divides all that it is asked for into intervals. The answer of an interval holds up to where
/// the next one begins.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct RuleNode {
    /// Where they begin, in order. Those that are not needed are like the last one.
    pub begins: [Bound; NODE_INTERVALS],
    /// One [`answer`] for each.
    pub answers: [u32; NODE_INTERVALS],
}

impl RuleNode {
    /// Number of the node where the search for an IPv4 client begins that comes by TCP. A set
    /// without it allows none.
    pub const ROOT_V4: u32 = 0;
    /// The same for IPv6.
    pub const ROOT_V6: u32 = 1;
    /// Added to these for clients that come by UDP.
    pub const BY_UDP: u32 = 2;
    /// All of them.
    pub const ROOTS: [u32; 4] =
        [Self::ROOT_V4, Self::ROOT_V6, Self::ROOT_V4 + Self::BY_UDP, Self::ROOT_V6 + Self::BY_UDP];
    /// Allows every client of its family.
    pub const EVERYONE: Self = Self {
        begins: [Bound { high: 0, low: 0 }; NODE_INTERVALS],
        answers: [answer::ALLOWED; NODE_INTERVALS],
    };
}

/// What a node says of an interval: one of these, or the number of the node to ask next.
pub mod answer {
    /// No rule allows it.
    pub const REFUSED: u32 = 0;
    /// A rule allows it.
    pub const ALLOWED: u32 = 1;
    /// The first number of a node that is no root.
    pub const FIRST_NODE: u32 = 4;
    /// Added to a number: the node is asked for the port.
    pub const PORTS: u32 = 1 << 31;
}

/// Pairs of prefix and port range in the security rules of one endpoint.
pub const MAX_RULES: u32 = 256;

/// What one endpoint may take of the gateway; zero is no limit.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Limits {
    /// Nanoseconds between two new flows.
    pub flow_nanos: u64,
    /// Nanoseconds between two packets.
    pub packet_nanos: u64,
    /// Nanoseconds that a byte takes, times 2^[`BYTE_SHIFT`].
    pub byte_nanos: u64,
    /// Flows at a time.
    pub flows: u32,
    /// Padding, zero.
    pub reserved: u32,
}

/// Fraction bits of [`Limits::byte_nanos`].
pub const BYTE_SHIFT: u32 = 16;

/// Bits of [`Endpoint::limits`](crate::Endpoint::limits).
pub mod limited {
    /// New flows are limited, by number or by rate.
    pub const FLOWS: u16 = 1;
    /// Packets or bytes are.
    pub const PACKETS: u16 = 2;
}

/// What an endpoint takes at the moment. The times say when all that was let through would have
/// gone at exactly the limit.
#[repr(C)]
#[derive(Debug, Default)]
pub struct MeterCell {
    /// When the new flows would have.
    pub new_flows: Word64,
    /// When the packets would have.
    pub packets: Word64,
    /// When the bytes would have.
    pub bytes: Word64,
    /// Flows that it has.
    pub flows: Word32,
    /// Those among them that are not established, or no longer.
    pub unsettled: Word32,
}

/// A [`MeterCell`] as plain data.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Meter {
    /// When the new flows would have gone at exactly the limit, in nanoseconds.
    pub new_flows: u64,
    /// When the packets would have.
    pub packets: u64,
    /// When the bytes would have.
    pub bytes: u64,
    /// Flows that it has.
    pub flows: u32,
    /// Those among them that are not established, or no longer.
    pub unsettled: u32,
}

const _: () = {
    assert!(size_of::<Meter>() == size_of::<MeterCell>());
    assert!(size_of::<RuleNode>() == 640);
};
