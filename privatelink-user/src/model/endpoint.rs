//! Endpoints: where consumers reach a service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{
    description::{Line, Tags},
    name::Name,
    number::{Number, Quantity},
    port::{PortRange, Protocol},
};

/// How an endpoint's share relates to others'.
pub type ShareWeight = Number<1, 1_000>;

/// A consumer's private way to one service.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name, unique among endpoints.
    pub name: Name,
    /// What the consumer tells the provider with its request.
    pub message: Option<Line>,
    /// What it is for.
    pub description: Option<Line>,
    /// Words of its owner's.
    pub tags: Tags,
    /// The service that it leads to.
    pub service: Name,
    /// The network in which consumers find it.
    pub network: Name,
    /// Its addresses in that network.
    pub addresses: EndpointAddresses,
    /// Who may use it; empty is every client of the network: its `subnets` and `reachable_from`.
    pub allow: Vec<SecurityRule>,
    /// Limits on what it may use of the gateway.
    pub limits: Limits,
    /// How its share of the flow table and of source ports relates to others'.
    pub weight: ShareWeight,
    /// Whether the service's own names lead to it.
    pub private_dns: bool,
}

impl Endpoint {
    /// The weight when the configuration gives none.
    pub const DEFAULT_WEIGHT: ShareWeight = ShareWeight::constant::<1>();
}

/// How an endpoint gets its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointAddresses {
    /// Allocated from the network's subnets when the endpoint is created, and kept.
    Auto,
    /// The addresses that the configuration gives.
    Fixed(AddressPair),
}

/// An IPv4 address, an IPv6 address, or one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPair {
    /// IPv4 only.
    V4(Ipv4Addr),
    /// IPv6 only.
    V6(Ipv6Addr),
    /// One of each family.
    Both(Ipv4Addr, Ipv6Addr),
}

impl AddressPair {
    /// Pairs the given addresses; `None` if there are none.
    pub fn new(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> Option<Self> {
        match (v4, v6) {
            (Some(v4), Some(v6)) => Some(Self::Both(v4, v6)),
            (Some(v4), None) => Some(Self::V4(v4)),
            (None, Some(v6)) => Some(Self::V6(v6)),
            (None, None) => None,
        }
    }

    /// The addresses, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        let (v4, v6) = match self {
            Self::V4(v4) => (Some(v4), None),
            Self::V6(v6) => (None, Some(v6)),
            Self::Both(v4, v6) => (Some(v4), Some(v6)),
        };
        v4.map(IpAddr::V4).into_iter().chain(v6.map(IpAddr::V6))
    }
}

/// One of an endpoint's security rules: who may reach which of its ports.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityRule {
    /// The clients that the rule allows.
    pub from: IpNet,
    /// The ports of the endpoint; empty is all of them.
    pub ports: Vec<PortRange>,
    /// By which protocol; `None` is either.
    pub protocol: Option<Protocol>,
}

/// Limits on what one endpoint may use of the gateway; `None` is no limit.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Flows at a time.
    pub flows: Option<Quantity>,
    /// New flows per second.
    pub new_flows_per_second: Option<Quantity>,
    /// Packets per second, both directions together.
    pub packets_per_second: Option<Quantity>,
    /// Bits per second, both directions together.
    pub bits_per_second: Option<Quantity>,
}
