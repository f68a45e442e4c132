//! Access to a packet.

use crate::wire::Wire;

/// A frame as it arrived on an interface.
///
/// Whatever changes its size invalidates what `view` gave; the exclusive borrow sees to that.
pub trait Frame {
    /// The header at an offset, if the frame reaches so far.
    fn view<H: Wire>(&mut self, offset: usize) -> Option<&mut H>;
    /// Whether the frame has at least this many bytes, wherever they lie.
    fn holds(&self, length: usize) -> bool;
    /// Makes the frame this long; new bytes at its end are zero.
    fn resize(&mut self, length: usize) -> Option<()>;
    /// Moves the frame's beginning by this many bytes: on, or back before it if negative.
    ///
    /// Bytes that this brings in front hold anything until they are written: all of them are to
    /// be, or what other packets left there gets out.
    fn shift(&mut self, by: i32) -> Option<()>;
    /// Index of the interface that it came in on.
    fn ingress(&self) -> u32;
}
