//! One target's check, as it is configured.

use std::net::SocketAddr;

use crate::model::{HealthCheck, Interface, VlanId};

/// One target's check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Where it is asked.
    pub at: SocketAddr,
    /// The interface that leads there: in another network, another host may have the address.
    pub interface: Interface,
    /// What it is asked.
    pub how: HealthCheck,
    /// Why it cannot be asked now.
    pub obstacle: Option<Obstacle>,
}

/// Why a target cannot be checked, through no fault of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Obstacle {
    /// The host does not have the network's interface.
    #[error("there is no interface {0}")]
    NoInterface(Interface),
    /// The host itself does not speak on the VLAN.
    #[error(
        "the host has no interface for vlan {vlan} of {interface}; make one with `ip link add \
         link {interface} name {interface}.{vlan} type vlan id {vlan}`"
    )]
    NoVlan {
        /// The interface.
        interface: Interface,
        /// The VLAN.
        vlan: VlanId,
    },
    /// The interface is down.
    #[error("{0} is down")]
    Down(Interface),
    /// The one thing that checks need and forwarding does not: the host's own address there.
    #[error(
        "the gateway has no {family} address of its own on {interface}; give it one with \
         `ip address add ADDRESS{length} dev {interface}`"
    )]
    NoAddress {
        /// IPv4 or IPv6, as the target's address.
        family: &'static str,
        /// The interface.
        interface: Interface,
        /// How long the prefix of the network's subnet is, with a slash.
        length: String,
    },
}
