//! Who may use an endpoint, and how much of the gateway it may take.

use crate::{
    Addr,
    cell::{Word32, Word64},
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which security rule: a set of rules by the hash of its content, and a number in it. A set
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
    /// The set.
    pub set: [u32; 2],
    /// Number of the rule in it.
    pub number: u32,
}

/// One security rule: clients of a prefix may reach a range of ports.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Rule {
    /// The prefix, with all other bits zero.
    pub address: Addr,
    /// Ones where the prefix is.
    pub mask: Addr,
    /// First port of the endpoint, in the machine's order.
    pub first_port: u16,
    /// Last port of the endpoint, in the machine's order.
    pub last_port: u16,
}

/// Security rules of one endpoint.
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
    /// Zero.
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
    reserved: Word32,
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
    reserved: u32,
}

const _: () = {
    assert!(size_of::<Meter>() == size_of::<MeterCell>());
    assert!(size_of::<Rule>() == 36);
};
