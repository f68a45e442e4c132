//! Private DNS names of services, in consumers' networks.
//!
//! ```text
//! model, state, host, time ─zones─► names of each network ─feeder─► server ─► consumers
//!                                                          sockets ─┘
//! ```
//!
//! The names are computed from values, as the maps are. A separate process without privileges
//! serves them, because it parses what tenants send.

pub mod channel;
pub mod export;
pub mod feeder;
pub mod listing;
pub mod record;
pub mod server;
pub mod sockets;
pub mod status;
pub mod wanted;
pub mod zones;

pub use feeder::Feeder;
pub use listing::listing;
pub use record::{Data, Record, ServedNames, Zone};
pub use status::{LatestStatus, ServerStatus};
pub use wanted::{WantedNames, wanted_names};

#[cfg(test)]
pub(crate) mod tests;
