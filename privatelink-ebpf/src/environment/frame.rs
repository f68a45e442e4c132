//! Access to a packet.

#[cfg(feature = "memory")]
use crate::wire::ETHERNET_LEN;
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

/// What stands before a frame: nothing that anybody may rely on.
#[cfg(feature = "memory")]
const STALE: u8 = 0xdb;

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

    fn shift(&mut self, by: i32) -> Option<()> {
        let bytes = usize::try_from(by.unsigned_abs()).ok()?;
        if by < 0 {
            let front = core::iter::repeat_n(STALE, bytes);
            self.bytes.splice(0..0, front);
        } else {
            // As in the kernel, an Ethernet header is left.
            self.bytes.len().checked_sub(bytes).filter(|rest| *rest >= ETHERNET_LEN)?;
            self.bytes.drain(..bytes);
        }
        Some(())
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;

    #[test]
    fn a_shift_moves_the_beginning() {
        let mut frame = MemoryFrame { bytes: (0..20).collect(), ingress: 1 };
        frame.shift(4).unwrap();
        assert_eq!(frame.bytes, (4..20).collect::<alloc::vec::Vec<u8>>());
        frame.shift(-2).unwrap();
        assert_eq!(frame.bytes[..3], [STALE, STALE, 4]);
        assert_eq!(frame.bytes.len(), 18);
        assert!(frame.shift(5).is_none(), "no Ethernet header would be left");
        assert_eq!(frame.bytes.len(), 18);
    }
}
