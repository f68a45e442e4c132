//! One target's check, as it is configured.

use std::net::SocketAddr;

use crate::model::{HealthCheck, Interface, VlanId};

/// One target's check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The address and port to connect to.
    pub at: SocketAddr,
    /// The interface to use: in another network, another host may have the same address.
    pub interface: Interface,
    /// The protocol and timing of the check.
    pub how: HealthCheck,
    /// Why the check cannot run now.
    pub obstacle: Option<Obstacle>,
}

/// Why a target cannot be checked. It says nothing about the target's health.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Obstacle {
    /// The host does not have the network's interface.
    #[error("there is no interface {0}")]
    NoInterface(Interface),
    /// The host has no interface for the network's VLAN.
    #[error(
        "the host has no interface for vlan {vlan} of {interface}; make one with `ip link add \
         link {interface} name {interface}.{vlan} type vlan id {vlan}`"
    )]
    NoVlan {
        /// The network's interface.
        interface: Interface,
        /// The network's VLAN.
        vlan: VlanId,
    },
    /// The network's interface is down.
    #[error("{0} is down")]
    Down(Interface),
    /// The host has no address on the interface; checks need one, forwarding does not.
    #[error(
        "the gateway has no {family} address of its own on {interface}; give it one with \
         `ip address add ADDRESS{length} dev {interface}`"
    )]
    NoAddress {
        /// `IPv4` or `IPv6`, the family of the target's address.
        family: &'static str,
        /// The network's interface.
        interface: Interface,
        /// The prefix length of the network's subnet, with a slash.
        length: String,
    },
}
