//! HTTPS for callers on other hosts: a process without rights of its own.
//!
//! ```text
//! caller ══TLS══► process ──relay──► connection passed to the daemon ──► server
//!                    ▲ └── bounds: how many, and how often                 │
//!                    └── keeper: starts it, certificates, listener         └─► authorities
//! ```
//!
//! The process alone parses what strangers send: TLS, and the heads of requests, which it writes
//! anew. It knows no keys and decides nothing; it tells the daemon who is on the other end of a
//! connection, and which certificate the caller has proven to hold. The daemon checks the
//! certificate against each authority, and the key of each request.

pub mod authorities;
mod bounds;
pub mod channel;
mod filter;
pub mod keeper;
pub mod process;
mod relay;
mod tls;

pub(super) use bounds::prefix;
