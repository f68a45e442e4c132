//! A client of etcd, version 3: what the store of a fleet needs, and nothing else.
//!
//! gRPC over one HTTP/2 connection, with messages that `prost` derives: no generated code and no
//! compiler of protocol files. etcd's JSON gateway is no alternative, because it ignores the user
//! that a client certificate names, so that no role could confine a gateway to its prefix.
//!
//! ```text
//! Client: which member, until when ─► Connection: TCP, TLS, HTTP/2 ─► frame: messages
//!    └─► Watch: changes from a revision on
//! ```

mod client;
mod connection;
mod endpoint;
mod entry;
mod error;
mod frame;
mod transaction;
mod watch;
mod wire;

pub use client::{Client, Lease};
pub use endpoint::{Endpoint, NoEndpoint};
pub use entry::{Entry, Snapshot};
pub use error::Error;
pub use transaction::{Committed, Guard, Transaction, Write};
pub use watch::{Batch, Event, Watch};

/// A point in etcd's history: every change of any key has a greater one than those before.
pub type Revision = i64;
