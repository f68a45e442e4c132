//! What the packet path knows of the world, as two traits: the frame in hand, and the gateway's
//! state.

mod frame;
#[cfg(feature = "memory")]
mod memory;
mod segments;
mod tables;

pub use frame::{Frame, Socket};
#[cfg(feature = "memory")]
pub use memory::{MemoryFrame, MemoryTables};
pub use segments::{Load, Segments};
pub use tables::{Tables, Walk};
