//! The headers at the beginning of a frame that has nothing unusual in between.

use super::{ethernet::Ethernet, ip::Ip, transport::Transport};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The head of a frame up to the transport header.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Front<I: Ip> {
    /// The Ethernet header.
    pub ethernet: Ethernet,
    /// The IP header.
    pub ip: I,
}

/// The head of a frame with its transport header.
#[repr(C)]
#[derive(FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Head<I: Ip, L: Transport> {
    /// The Ethernet header.
    pub ethernet: Ethernet,
    /// The IP header.
    pub ip: I,
    /// The transport header, without options.
    pub transport: L,
}
