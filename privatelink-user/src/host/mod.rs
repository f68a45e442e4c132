//! What the host is like: interfaces and neighbours, as the kernel tells by rtnetlink.

mod facts;
mod netlink;

pub use facts::{HostFacts, Link, Neighbour};
pub use netlink::{Error, Event, Events, Host};
