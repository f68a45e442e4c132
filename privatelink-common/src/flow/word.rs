//! Bits of [`Slot::word`](super::Slot::word).

/// The life of a slot.
pub const LIFE: u32 = 0b11;
/// Unused, and a search ends here.
pub const FREE: u32 = 0;
/// Unused, but a search goes on beyond it.
pub const TOMB: u32 = 1;
/// Claimed and being written.
pub const BUSY: u32 = 2;
/// Holds a flow.
pub const LIVE: u32 = 3;
/// Target to client; else client to target.
pub const REVERSE: u32 = 1 << 2;
/// Packets of this direction arrive as IPv6.
pub const ARRIVES_V6: u32 = 1 << 3;
/// Packets of this direction leave as IPv6.
pub const LEAVES_V6: u32 = 1 << 4;
/// A free slot that was in use before, and may have to rest.
pub const RESTING: u32 = 1 << 5;
/// The client has said FIN.
pub const FIN_IN: u32 = 1 << 6;
/// The target has said FIN.
pub const FIN_OUT: u32 = 1 << 7;
/// Where the IP protocol number stands.
pub const PROTOCOL_SHIFT: u32 = 8;
/// The IP protocol number.
pub const PROTOCOL: u32 = 0xff << PROTOCOL_SHIFT;
/// Where the phase stands.
pub const PHASE_SHIFT: u32 = 16;
/// Bits of the [`Phase`](super::Phase).
pub const PHASE: u32 = 0xf << PHASE_SHIFT;
/// The client has said RST, and neither end anything else since.
pub const RESET_IN: u32 = 1 << 20;
/// The target has said RST, and neither end anything else since.
pub const RESET_OUT: u32 = 1 << 21;
/// One end has said RST. Any sender can forge that: the flow goes on if either end speaks.
pub const DOUBT: u32 = RESET_IN | RESET_OUT;
/// The end that is said to be gone has been asked.
pub const ASKED: u32 = 1 << 22;
/// The flow counts against the smaller share of those that are not established: in the direction
/// from the client.
pub const UNSETTLED: u32 = 1 << 23;
/// Where TCP's flags stand that this direction has seen.
pub const FLAGS_SHIFT: u32 = 24;
/// What a packet is compared with before anything else.
pub const MATCH: u32 = LIFE | ARRIVES_V6 | PROTOCOL;
