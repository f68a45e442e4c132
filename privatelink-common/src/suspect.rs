//! What one walk of the sweep notes for the next.

use crate::cell::Word32;

/// A slot of a flow that ends, unless it does so for its silence and the other direction speaks.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Suspect {
    /// Index of the slot.
    pub slot: Word32,
    /// The far slot where the search for the other direction begins.
    pub far: Word32,
    /// The near one.
    pub near: Word32,
    /// How long the flow may be silent, in ticks.
    pub patience: Word32,
    /// An [`EndCause`](crate::EndCause), or [`Suspect::SILENCE`].
    pub cause: Word32,
}

impl Suspect {
    /// It has been silent for too long.
    pub const SILENCE: u32 = u32::MAX;
}
