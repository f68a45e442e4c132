//! What one stage of the packet path tells the next.

use crate::cell::Word32;

/// Notes about the packet that a CPU has in hand; each CPU has its own.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Scratch {
    /// Index of the network that the packet came from.
    pub network: Word32,
    /// Index of the slot that the packet belongs to.
    pub slot: Word32,
}
