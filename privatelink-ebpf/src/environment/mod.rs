//! What the packet path knows of the world, as two traits: the frame in hand, and the gateway's
//! state.

mod frame;
#[cfg(feature = "memory")]
mod memory;
mod tables;

pub use frame::Frame;
#[cfg(feature = "memory")]
pub use frame::MemoryFrame;
#[cfg(feature = "memory")]
pub use memory::MemoryTables;
pub use tables::{Direction, Tables, Walk};
