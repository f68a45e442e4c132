//! The host: its interfaces and neighbours, as the kernel reports them by rtnetlink, and the
//! certificates that it keeps in files.

pub mod certificates;
mod facts;
mod netlink;

pub use facts::{HostFacts, Link, Neighbour, is_link_local};
pub use netlink::{Error, Event, Events, Host};
