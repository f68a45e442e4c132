//! Access to a packet.

use crate::wire::{Ip, Wire};

/// A frame as it arrived on an interface.
///
/// A change of its size invalidates the references that `view` returned; the exclusive borrow
/// rules that out.
pub trait Frame {
    /// The header at an offset, if the frame reaches so far.
    fn view<H: Wire>(&mut self, offset: usize) -> Option<&mut H>;
    /// Whether the frame has at least this many bytes, in its first buffer or in later ones.
    fn holds(&self, length: usize) -> bool;
    /// Makes the frame this long; new bytes at its end are zero.
    fn resize(&mut self, length: usize) -> Option<()>;
    /// Moves the frame's beginning by this many bytes: forward, or backward if negative.
    ///
    /// Bytes that become part of the frame hold data of other packets until they are written. The
    /// caller must write all of them, or that data leaks.
    fn shift(&mut self, by: i32) -> Option<()>;
    /// Index of the interface that it came in on.
    fn ingress(&self) -> u32;
    /// Which socket of the host's own gets a packet with these addresses and ports, if it comes
    /// without a tag.
    fn socket<I: Ip>(
        &self,
        source: I::Address,
        destination: I::Address,
        ports: u32,
        protocol: u32,
    ) -> Socket;
}

/// A socket of the host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Socket {
    /// There is none, or one that takes packets of anybody by any interface.
    None = 0,
    /// It talks to this sender.
    Connected = 1,
    /// It takes packets of anybody by this interface.
    Bound = 2,
}
