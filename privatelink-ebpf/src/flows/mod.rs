//! What the gateway remembers of flows: the table of them, their phases, and how they end.

pub mod account;
pub mod adopt;
pub mod blocks;
#[cfg(feature = "memory")]
mod memory;
pub mod operations;
mod other;
pub mod phase;
pub mod policy;
pub mod report;
pub mod rules;
pub mod share;
pub mod sweep;
pub mod table;
