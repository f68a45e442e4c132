//! The daemon's API: HTTP and JSON over a unix socket, and over HTTPS.
//!
//! ```text
//! server ──► admission ──► routes/* ──► client ──► request ──► daemon
//!    │          └─ peer: who asks └─► extract, document, refusal
//!    │          └─ remote: who asks from another host (front)
//!    └─ doorkeeper: how much of the daemon each user may occupy
//! ```
//!
//! A new operation is a path and its types in `interface/`, a handler in one of the files of
//! `routes/`, a [`Request`](request::Request), and the daemon's answer to that.

pub mod action;
mod admission;
mod client;
mod document;
mod doorkeeper;
mod extract;
pub mod front;
mod host;
mod page;
mod peer;
mod refusal;
mod remote;
pub mod request;
mod routes;
pub mod server;
mod wrong_keys;

pub use host::is_ambiguous;
pub(crate) use peer::missing_members;
pub use routes::document;
pub(crate) use routes::flows::OMITTED;
pub use wrong_keys::wrong_keys;

#[cfg(test)]
mod tests;
