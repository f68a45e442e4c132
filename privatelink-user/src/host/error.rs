//! Requests that the kernel refuses.

use std::net::{IpAddr, Ipv6Addr};

/// A failed request to the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refuses a netlink socket.
    #[error("cannot open a netlink socket")]
    Open(#[source] std::io::Error),
    /// The interfaces or neighbours cannot be listed.
    #[error("cannot list {what}")]
    Dump {
        /// What was to be listed.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// The kernel refuses to resolve a next hop.
    #[error(
        "cannot make the kernel resolve the neighbour {address} on the interface with index {ifindex}"
    )]
    Neighbour {
        /// Address of the next hop.
        address: IpAddr,
        /// The interface that it is on.
        ifindex: u32,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// The kernel refuses to listen to the group of an address.
    #[error(
        "cannot make the kernel listen to the group of {address} on the interface with index \
         {ifindex}, without which switches that snoop on MLD keep requests for it from the gateway"
    )]
    Group {
        /// The gateway's address.
        address: Ipv6Addr,
        /// The interface that it is on.
        ifindex: u32,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// The kernel refuses to switch an interface to all multicast.
    #[error("cannot switch the interface with index {ifindex} to all multicast")]
    Allmulti {
        /// Index of the interface.
        ifindex: u32,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
}
