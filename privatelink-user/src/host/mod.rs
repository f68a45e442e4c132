//! What the host is like: interfaces and neighbours, as the kernel tells by rtnetlink.

pub mod certificates;
mod facts;
mod netlink;

pub use facts::{HostFacts, Link, Neighbour, is_link_local};
pub use netlink::{Error, Event, Events, Host};
