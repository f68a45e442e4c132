//! Private names: what consumers call a service, in their own networks.
//!
//! ```text
//! model, state, host, time ─zones─► Names of each network ─feeder─► server ─► consumers
//!                                                          sockets ─┘
//! ```
//!
//! What is served is computed from values, as the maps are. A process of its own without any
//! rights serves it: it is the one part that reads what tenants send.

pub mod account;
pub mod channel;
pub mod export;
pub mod feeder;
pub mod listing;
pub mod record;
pub mod server;
pub mod sockets;
pub mod wanted;
pub mod zones;

pub use account::{Account, Latest};
pub use feeder::Feeder;
pub use listing::listing;
pub use record::{Data, Names, Record, Zone};
pub use wanted::{Wanted, wanted};

#[cfg(test)]
pub(crate) mod tests;
