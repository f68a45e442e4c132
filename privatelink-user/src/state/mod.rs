//! What outlives the daemon and reboots of the host: indices, addresses, connections, access keys,
//! the objects of the API, and what was known of targets.
//!
//! ```text
//! State ─changes─► Store: on disk ─► State, and only then maps and answers
//! ```
//!
//! A change computes the next state, and hands the difference to a [`Store`]. What a store has
//! accepted is not lost; what it refuses has not happened.

mod addition;
pub mod addresses;
mod any_store;
mod beside;
mod change;
pub mod connection;
mod disk;
mod error;
pub mod group;
pub mod ids;
mod journal;
mod kept;
mod key_holder;
pub mod keys;
mod memory;
pub mod objects;
mod record;
mod store;
pub mod targets;

pub use addition::Addition;
pub use any_store::AnyStore;
pub use beside::Beside;
pub use change::Change;
pub use error::Error;
pub use group::GroupStore;
pub use journal::{FILE, Journal};
pub use kept::{State, TooMuch};
pub use memory::MemoryStore;
pub use store::Store;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
