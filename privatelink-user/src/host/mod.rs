//! The host: its interfaces and neighbours, as the kernel reports them by rtnetlink, the settings
//! by which its kernel treats them, and the certificates that it keeps in files.

pub mod certificates;
mod error;
mod exposure;
mod facts;
mod footprint;
mod groups;
mod netlink;
mod own;
mod reach;
mod restore;
mod settings;
mod xdp_targets;

pub use error::Error;
pub use exposure::exposures;
pub use facts::{HostFacts, Link, Neighbour, is_link_local};
pub use footprint::Footprint;
pub use netlink::{Event, Events, Host};
pub use reach::{Reach, addresses_at, reach};
pub use restore::restore;
pub use settings::is_ipv6_off;
pub use xdp_targets::takes_frames;
