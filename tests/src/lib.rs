//! What the tests, the demonstration and the benchmarks share.
//!
//! [`lab`] lays real networks out of network namespaces and runs a gateway between them.

pub mod bench;
pub mod demo;
pub mod lab;
