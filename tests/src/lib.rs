//! What the tests, the demonstration and the benchmarks share.
//!
//! [`lab`] lays real networks out of network namespaces and runs a gateway between them.
//! [`fixtures`] is the table of what the datapath does with which frames.

pub mod bench;
pub mod demo;
pub mod fixtures;
pub mod lab;
pub mod packet;
pub mod pages;
pub mod torture;
