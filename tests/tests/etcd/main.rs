//! The store that gateways share, against etcd itself. Needs etcd; run by `cargo xtask test`.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

mod client;
mod store;
