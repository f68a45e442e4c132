//! What the tests and the benchmarks share.
//!
//! [`lab`] lays real networks out of network namespaces and runs a gateway between them. It is a
//! crate of its own, because the demonstration needs it and nothing else from here.
//! [`fixtures`] is the table of what the datapath does with which frames.

pub mod bench;
pub mod conformance;
pub mod cut;
pub mod fixtures;
pub mod packet;
pub mod pages;
pub mod pinned;
pub mod torture;
pub mod wall_clock;

pub use privatelink_lab as lab;
