//! The state that several gateways share, in etcd.
//!
//! ```text
//! daemon ─changes─► GroupStore ─► Link (a thread) ─► etcd
//!                      ▲  └─► Journal: the local copy, from which a daemon starts without etcd
//!                      └──── news: a snapshot, then changes of others, in order
//! ```
//!
//! Objects, connections, addresses, access keys, replies and the indices of networks, services and
//! endpoints are the group's. What one gateway has seen by itself is its own: health, names and
//! files of targets, drains, and the indices of targets and sources, which only its own flows name.
//!
//! A commit expects that the keys that it writes are as they were read. One that touches the
//! structure, which is everything but decisions, replies and access keys, also expects that nobody
//! else has changed that: so each is computed from the latest state, and no two objects that
//! exclude each other meet in the store.

mod chunks;
mod fellows;
mod known;
mod layout;
mod link;
mod merge;
mod store;
mod taking_in;

pub use fellows::{Fellow, Hello};
pub use store::{GroupStore, Membership, TakenIn};

#[cfg(test)]
mod tests;
