//! The name server: a process without privileges.

pub mod answer;
mod connections;
pub mod table;

mod forward;
mod limit;
mod network;
mod proof;
mod random;
mod serve;
mod tcp;
mod udp;
mod worker;

pub use serve::serve;
