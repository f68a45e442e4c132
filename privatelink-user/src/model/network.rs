//! Networks, and the principals who own them.

use std::{fmt, net::IpAddr, path::PathBuf};

use ipnet::IpNet;

use super::{
    dns::DnsPattern,
    name::{Interface, Name},
    number::{Number, Quantity},
    quota::Quota,
    word::words,
};

/// The number of an 802.1Q VLAN.
pub type VlanId = Number<1, 4094>;

/// The unix users who act for a principal on this host.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its name, as networks and services refer to it.
    pub name: Name,
    /// Unix users who act for it.
    pub users: Vec<String>,
    /// Unix groups whose members act for it.
    pub groups: Vec<String>,
    /// Certificates of the authority whose client certificates act for it.
    pub client_ca: Option<PathBuf>,
    /// How much it may have.
    pub quota: Quota,
}

/// Where a network meets the gateway. No two networks share an attachment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// The interface that leads to the network.
    pub interface: Interface,
    /// The VLAN on it; `None` is untagged.
    pub vlan: Option<VlanId>,
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vlan {
            Some(vlan) => write!(f, "interface {}, vlan {vlan}", self.interface),
            None => write!(f, "interface {}", self.interface),
        }
    }
}

words! {
    /// What the gateway's own host takes from a network.
    pub enum HostAccess {
        /// What the gateway itself needs.
        Services = "services",
        /// All that is not for the gateway.
        All = "all",
    }
}

words! {
    /// Where in the kernel packets of an interface are carried.
    pub enum AttachMode {
        /// Where the interface is best served: see the daemon's `modes`.
        Auto = "auto",
        /// By XDP in the driver.
        Native = "native",
        /// By XDP in the network stack.
        Generic = "generic",
        /// By tc, in the network stack.
        Tc = "tc",
    }
}

/// A segment that the gateway is attached to.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name, as services and endpoints refer to it.
    pub name: Name,
    /// The principal that owns it.
    pub principal: Name,
    /// The interface and the VLAN through which the gateway reaches it.
    pub attachment: Attachment,
    /// Where in the kernel its packets are carried. Networks of one interface have the same.
    pub mode: AttachMode,
    /// Its address ranges, in order and without overlap; never empty.
    pub subnets: Vec<IpNet>,
    /// Prefixes of clients behind its routers, which may use its endpoints like those in `subnets`.
    pub reachable_from: Vec<IpNet>,
    /// The routers behind which its targets may be: at most one per address family.
    pub gateways: Vec<IpAddr>,
    /// What the gateway's host takes from it, where that is written.
    pub host: Option<HostAccess>,
    /// The host's own addresses there that endpoints and services may take from it.
    pub taken_from_host: Vec<IpAddr>,
    /// Who may publish services in it, besides its owner.
    pub publishers: Vec<Name>,
    /// Whether private names are served on this network.
    pub dns: bool,
    /// Which names of providers are served to it; `None` is those that are proven, if any are.
    pub dns_accept: Option<Vec<DnsPattern>>,
    /// Whether no name is served before its owner has agreed.
    pub dns_proven: bool,
    /// Name servers of the network that are asked for all other names, bound to its interface.
    pub forwarders: Vec<IpAddr>,
    /// The most answers per second to the clients of one /24 or /64.
    pub dns_rate: Quantity,
}

impl Network {
    /// Default of `dns_rate`.
    pub const DEFAULT_DNS_RATE: Quantity = Quantity::constant::<10_000>();

    /// Whether the gateway's host takes all that is not for the gateway.
    pub fn opens_host(&self) -> bool {
        self.host == Some(HostAccess::All)
    }

    /// Whether a provider's name may be served to it.
    pub fn accepts(&self, name: &DnsPattern) -> bool {
        let Some(accepted) = &self.dns_accept else { return self.dns_proven };
        accepted.iter().any(|pattern| pattern.covers(name))
    }

    /// The subnet that `address` lies in.
    pub fn subnet_of(&self, address: IpAddr) -> Option<IpNet> {
        self.subnets.iter().copied().find(|subnet| subnet.contains(&address))
    }

    /// Where the clients of its endpoints are: its subnets, and the prefixes that are routed to it.
    pub fn clients(&self) -> impl Iterator<Item = IpNet> {
        self.subnets.iter().chain(&self.reachable_from).copied()
    }

    /// The router through which `address` is reached when no subnet holds it.
    pub fn gateway_for(&self, address: IpAddr) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|router| router.is_ipv4() == address.is_ipv4())
    }
}
