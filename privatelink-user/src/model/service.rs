//! Services: what providers publish.

use std::{collections::BTreeSet, fmt, net::IpAddr, path::PathBuf};

use super::{
    DnsName, DnsPattern, DnsUnhealthy, HealthCheck, Name, Number, Period, PortRange, Protocol,
};

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

/// How long an idle flow is kept.
pub type IdleTimeout = Period<{ 60 * SECOND }, { 7 * DAY }>;
/// How long the flows of a removed target live on.
pub type Drain = Period<0, { 7 * DAY }>;
/// How long the flows of a rejected connection live on.
pub type RejectDrain = Period<SECOND, { 7 * DAY }>;
/// How long a request waits for the provider's decision.
pub type RequestExpiry = Period<SECOND, { 365 * DAY }>;
/// A target's share of new flows; 0 drains it.
pub type Weight = Number<0, 65_535>;

/// What a provider publishes.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The service.
    pub name: Name,
    /// Its provider.
    pub principal: Name,
    /// The network that its targets are in.
    pub network: Name,
    /// Who decides about a connection that no rule decides.
    pub acceptance: AcceptancePolicy,
    /// Who may connect.
    pub allow: Principals,
    /// Of those, who is accepted without asking.
    pub accept: Principals,
    /// How long a request waits for the provider's decision; `None` waits forever.
    pub request_expiry: Option<RequestExpiry>,
    /// What becomes of a connection whose principal may not connect any more.
    pub on_disallow: OnDisallow,
    /// The addresses from which the gateway speaks to targets, in order, each once.
    pub source_addresses: Vec<IpAddr>,
    /// Names under which consumers find the service, besides the generated ones.
    pub private_dns: Vec<DnsPattern>,
    /// What names do while no target is healthy.
    pub dns_unhealthy: DnsUnhealthy,
    /// What the two ends see when the connection is not available any more.
    pub on_reject: OnReject,
    /// What a consumer sees before the connection is accepted.
    pub on_pending: OnPending,
    /// Whether new flows go to unhealthy targets when no healthy one is left.
    pub fail_open: bool,
    /// What becomes of the flows of a target that falls ill.
    pub on_unhealthy: OnUnhealthy,
    /// Which flows go to the same target.
    pub stickiness: Stickiness,
    /// How long the flows of a removed target live on.
    pub drain: Drain,
    /// Where the service is offered; never empty and without overlap.
    pub listeners: Vec<Listener>,
    /// The backends that listeners share; empty only if each listener leads to one of its own.
    pub targets: Vec<Target>,
    /// A file with more targets, which another program writes.
    pub targets_file: Option<PathBuf>,
    /// Who is asked for targets' names; empty asks those of the gateway.
    pub resolvers: Vec<IpAddr>,
    /// How targets are checked; `None` takes every target for healthy.
    pub health_check: Option<HealthCheck>,
}

/// Who decides about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptancePolicy {
    /// The provider, one by one.
    Manual,
    /// Everybody who may connect is accepted.
    Automatic,
}

impl fmt::Display for AcceptancePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manual => "manual",
            Self::Automatic => "automatic",
        })
    }
}

/// A set of principals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principals {
    /// Everybody, written `["*"]`.
    Anybody,
    /// These and no others; possibly none.
    Only(BTreeSet<Name>),
}

impl Principals {
    /// Whether `principal` belongs to the set.
    pub fn contains(&self, principal: &Name) -> bool {
        match self {
            Self::Anybody => true,
            Self::Only(names) => names.contains(principal),
        }
    }

    /// The set as it is written: `*` is anybody.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Anybody => vec!["*".to_owned()],
            Self::Only(names) => names.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What both ends of a flow see once its connection is rejected, expired or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReject {
    /// A TCP reset, or ICMP administratively prohibited.
    Reset,
    /// Nothing.
    Drop,
    /// New flows are refused at once, and flows that exist are reset after this time.
    Drain(RejectDrain),
}

impl fmt::Display for OnReject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("reset"),
            Self::Drop => f.write_str("drop"),
            Self::Drain(time) => write!(f, "drain for {time}"),
        }
    }
}

/// What becomes of an available connection once `allow` does not name its principal any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisallow {
    /// It is rejected.
    Cut,
    /// It stays until it is rejected or expires.
    Keep,
}

impl fmt::Display for OnDisallow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::Keep => "keep",
        })
    }
}

/// What a consumer sees while its connection waits for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPending {
    /// A TCP reset, or ICMP administratively prohibited.
    Reset,
    /// Nothing.
    Drop,
}

impl fmt::Display for OnPending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "reset",
            Self::Drop => "drop",
        })
    }
}

/// What becomes of the flows of a target that is unhealthy, unless it takes new ones all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnhealthy {
    /// They are reset.
    Reset,
    /// They go on as long as they can.
    Keep,
}

impl fmt::Display for OnUnhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "reset",
            Self::Keep => "keep",
        })
    }
}

/// Which flows go to the same target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stickiness {
    /// Each goes its own way.
    None,
    /// All of one client.
    Client,
}

impl fmt::Display for Stickiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Client => "client",
        })
    }
}

/// Ports on which a service is offered.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The ports at the endpoint.
    pub ports: PortRange,
    /// The ports at the target: as many, in the same order.
    pub target_ports: PortRange,
    /// The one target that it leads to; `None` is all of the service.
    pub target: Option<TargetAddress>,
    /// How long an idle flow is kept.
    pub idle_timeout: IdleTimeout,
}

impl Listener {
    /// How long an idle flow is kept if nothing else is said.
    pub const fn default_idle_timeout(protocol: Protocol) -> IdleTimeout {
        match protocol {
            Protocol::Tcp => IdleTimeout::constant::<350_000>(),
            Protocol::Udp => IdleTimeout::constant::<120_000>(),
        }
    }
}

impl Service {
    /// How long a removed target drains if nothing else is said.
    pub const DEFAULT_DRAIN: Drain = Drain::constant::<300_000>();
}

/// A backend of a service.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it is.
    pub address: TargetAddress,
    /// Its share of new flows.
    pub weight: Weight,
}

impl Target {
    /// A target's weight if nothing is said.
    pub const DEFAULT_WEIGHT: Weight = Weight::constant::<100>();
}

/// Where a target is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetAddress {
    /// At this address.
    Ip(IpAddr),
    /// At whatever addresses this name has from time to time.
    Dns(DnsName),
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns(name) => name.fmt(f),
        }
    }
}
