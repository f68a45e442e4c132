//! Access to a packet.

use crate::wire::Wire;

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
}
