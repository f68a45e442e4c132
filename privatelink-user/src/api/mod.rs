//! The daemon's interface to the command line: HTTP and JSON over a unix socket.

mod peer;
pub mod request;
mod routes;
pub mod server;

pub(crate) use peer::missing_members;
pub(crate) use routes::OMITTED;
pub use routes::document;

#[cfg(test)]
mod tests;
