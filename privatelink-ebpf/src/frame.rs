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
    /// Index of the interface that it came in on.
    fn ingress(&self) -> u32;
}

/// A frame in plain memory.
#[cfg(feature = "memory")]
pub struct MemoryFrame {
    /// The bytes.
    pub bytes: alloc::vec::Vec<u8>,
    /// Index of the interface that it came in on.
    pub ingress: u32,
}

#[cfg(feature = "memory")]
impl Frame for MemoryFrame {
    fn view<H: Wire>(&mut self, offset: usize) -> Option<&mut H> {
        let (header, _) = H::mut_from_prefix(self.bytes.get_mut(offset..)?).ok()?;
        Some(header)
    }

    fn holds(&self, length: usize) -> bool {
        self.bytes.len() >= length
    }

    fn resize(&mut self, length: usize) -> Option<()> {
        self.bytes.resize(length, 0);
        Some(())
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }
}
