//! The daemon's API: HTTP and JSON over a unix socket.
//!
//! ```text
//! server ──► routes/* ──► client ──► request ──► daemon
//!                │           └─ peer: who asks
//!                └─► extract, document, refusal
//! ```
//!
//! A new operation is a path and its types in `interface/`, a handler in one of the files of
//! `routes/`, a [`Request`](request::Request), and the daemon's answer to that.

mod client;
mod document;
mod extract;
mod peer;
mod refusal;
pub mod request;
mod routes;
pub mod server;

pub(crate) use peer::missing_members;
pub use routes::document;
pub(crate) use routes::flows::OMITTED;

#[cfg(test)]
mod tests;
