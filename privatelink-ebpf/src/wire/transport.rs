//! TCP and UDP.

use super::{N16, N32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The TCP header without options.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Tcp {
    /// Source port and destination port.
    pub ports: N32,
    /// Sequence number.
    pub sequence: N32,
    /// Acknowledgment number.
    pub acknowledgment: N32,
    /// Length of the header in 32-bit words, in the upper half.
    pub offset: u8,
    /// [`tcp_flags`].
    pub flags: u8,
    /// Receive window.
    pub window: N16,
    /// Checksum.
    pub check: N16,
    /// Urgent pointer.
    pub urgent: N16,
}

impl Tcp {
    /// Length without options.
    pub const LEN: usize = 20;

    /// Length with options, as the header says.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        (self.offset >> 4) as usize * 4
    }
}

/// Bits of [`Tcp::flags`].
pub mod tcp_flags {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Opens a conversation.
    pub const SYN: u8 = 2;
    /// Ends it at once.
    pub const RST: u8 = 4;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 16;
}

/// The UDP header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Udp {
    /// Source port and destination port.
    pub ports: N32,
    /// Length of header and payload.
    pub length: N16,
    /// Checksum; zero means none over IPv4.
    pub check: N16,
}

impl Udp {
    /// Length of the header.
    pub const LEN: usize = 8;
}
