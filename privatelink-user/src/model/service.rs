//! Services: what providers publish.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::PathBuf,
};

use super::{
    description::{Line, Tags},
    dns::{DnsPattern, DnsUnhealthy},
    health_check::HealthCheck,
    name::{DnsName, Name},
    number::{Number, Period},
    port::{Port, PortRange, Protocol},
    word::words,
};

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

/// How long an idle flow is kept.
pub type IdleTimeout = Period<{ 60 * SECOND }, { 7 * DAY }>;
/// How long the flows of a removed target continue.
pub type Drain = Period<0, { 7 * DAY }>;
/// How long the flows of a rejected connection continue.
pub type RejectDrain = Period<SECOND, { 7 * DAY }>;
/// How long a request waits for the provider's decision.
pub type RequestExpiry = Period<SECOND, { 365 * DAY }>;
/// A target's share of new flows; 0 drains it.
pub type Weight = Number<0, 65_535>;

/// What a provider publishes.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, as endpoints refer to it.
    pub name: Name,
    /// What it is, for those who may connect.
    pub description: Option<Line>,
    /// Words of its owner's.
    pub tags: Tags,
    /// The principal that provides it.
    pub principal: Name,
    /// The network that its targets are in.
    pub network: Name,
    /// Who decides about a request that `accept` does not decide.
    pub acceptance: AcceptancePolicy,
    /// The principals that may connect.
    pub allow: Principals,
    /// The principals of `allow` that are accepted without a decision.
    pub accept: Principals,
    /// How long a request waits for the provider's decision; `None` waits forever.
    pub request_expiry: Option<RequestExpiry>,
    /// What happens to a connection once `allow` no longer lists its principal.
    pub on_disallow: OnDisallow,
    /// The addresses from which the gateway speaks to targets, in order, each once.
    pub source_addresses: Vec<IpAddr>,
    /// Names under which consumers find the service, besides the generated ones.
    pub private_dns: Vec<DnsPattern>,
    /// What names do while no target is healthy.
    pub dns_unhealthy: DnsUnhealthy,
    /// What both ends see once the connection is no longer available.
    pub on_reject: OnReject,
    /// What a consumer sees before the connection is accepted.
    pub on_pending: OnPending,
    /// Whether new flows go to unhealthy targets when no healthy one is left.
    pub fail_open: bool,
    /// What happens to the flows of a target that becomes unhealthy.
    pub on_unhealthy: OnUnhealthy,
    /// Which flows go to the same target.
    pub stickiness: Stickiness,
    /// How long the flows of a removed target continue.
    pub drain: Drain,
    /// Where the service is offered; never empty and without overlap.
    pub listeners: Vec<Listener>,
    /// The backends that listeners share; empty only if each listener leads to one of its own.
    pub targets: Vec<Target>,
    /// A file with more targets, which another program writes.
    pub targets_file: Option<PathBuf>,
    /// Name servers for targets that are names; empty uses those of the gateway.
    pub resolvers: Vec<IpAddr>,
    /// How targets are checked; with `None` every target counts as healthy.
    pub health_check: Option<HealthCheck>,
}

words! {
    /// Who decides about a connection.
    pub enum AcceptancePolicy {
        /// The provider, one by one.
        Manual = "manual",
        /// No one: every principal that may connect is accepted.
        Automatic = "automatic",
    }
}

/// A set of principals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principals {
    /// Every principal, written `["*"]`.
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

    /// The set as a configuration has it: `*` is every principal.
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
    /// No answer.
    Drop,
    /// New flows are refused at once, and existing flows are reset after this time.
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

words! {
    /// What happens to an available connection once `allow` no longer lists its principal.
    pub enum OnDisallow {
        /// The connection is rejected.
        Cut = "cut",
        /// The connection stays until it is rejected or expires.
        Keep = "keep",
    }
}

words! {
    /// What a consumer sees while its connection waits for a decision.
    pub enum OnPending {
        /// A TCP reset, or ICMP administratively prohibited.
        Reset = "reset",
        /// No answer.
        Drop = "drop",
    }
}

words! {
    /// What happens to the flows of an unhealthy target, unless `fail_open` sends it new flows.
    pub enum OnUnhealthy {
        /// The flows are reset.
        Reset = "reset",
        /// The flows continue as long as they can.
        Keep = "keep",
    }
}

words! {
    /// Which flows go to the same target.
    pub enum Stickiness {
        /// No two: a target is chosen for each flow.
        None = "none",
        /// All of one client.
        Client = "client",
    }
}

/// Ports on which a service is offered.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The transport protocol of the ports.
    pub protocol: Protocol,
    /// The ports at the endpoint.
    pub ports: PortRange,
    /// The ports at the target: as many, in the same order.
    pub target_ports: PortRange,
    /// The one target that it leads to; `None` is those of the service.
    pub target: Option<TargetAddress>,
    /// The groups of targets that it leads to, and the share of each; empty is all targets.
    pub groups: BTreeMap<Name, Weight>,
    /// How long an idle flow is kept.
    pub idle_timeout: IdleTimeout,
}

impl Listener {
    /// Default of `idle_timeout`.
    pub const fn default_idle_timeout(protocol: Protocol) -> IdleTimeout {
        match protocol {
            Protocol::Tcp => IdleTimeout::constant::<350_000>(),
            Protocol::Udp => IdleTimeout::constant::<120_000>(),
        }
    }
}

impl Service {
    /// The most source addresses that one service may have.
    pub const MAX_SOURCE_ADDRESSES: usize = 4096;
    /// Default of `drain`.
    pub const DEFAULT_DRAIN: Drain = Drain::constant::<300_000>();
}

/// A backend of a service.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address or DNS name.
    pub address: TargetAddress,
    /// Its share of new flows.
    pub weight: Weight,
    /// Its port; `None` is that of the listener.
    pub port: Option<Port>,
    /// The group that listeners lead to it by.
    pub group: Option<Name>,
}

impl Target {
    /// Default of `weight`.
    pub const DEFAULT_WEIGHT: Weight = Weight::constant::<100>();
}

/// The address or the DNS name of a target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetAddress {
    /// An address that does not change.
    Ip(IpAddr),
    /// A name that is resolved again and again.
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
