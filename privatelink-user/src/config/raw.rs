//! The configuration as it is written: every value well-formed, nothing yet compared.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf};

use ipnet::IpNet;

use super::{
    address::{address, prefix},
    decode::{Decode, Entry, List, OneOrMore, Section, Table, section},
    diagnostic::{Fault, Report},
    port_map::PortMap,
    schema::{self, Described},
    source::Located,
};
use crate::model::{
    AcceptancePolicy, Destination, DnsName, DnsPattern, DnsTtl, DnsUnhealthy, Drain, IdleTimeout,
    Interface, Invalid, LogField, LogFiles, LogInterval, MaxFlows, Name, OnDisallow, OnPending,
    OnReject, OnUnhealthy, Port, PortRange, ProbeInterval, ProbeTimeout, Protocol, Quantity,
    RequestExpiry, StatusCodes, Stickiness, TargetAddress, Threshold, VlanId, WebhookUrl, Weight,
};

section! {
    /// One file.
    Document "the file" {
        optional gateway: Gateway,
        optional principal: List<Principal>,
        optional network: List<Network>,
        optional service: List<Service>,
        optional endpoint: List<Endpoint>,
    }
}

section! {
    Gateway "[gateway]" {
        required name: Name = "name = \"gw-a\"",
        optional domain: DnsName,
        optional dns_ttl: DnsTtl,
        optional dns_proof: IpAddr,
        optional metrics: SocketAddr,
        optional max_flows: MaxFlows,
        optional state_dir: PathBuf,
        optional socket: PathBuf,
        optional group: String,
        optional pin_dir: PathBuf,
        optional resolvers: OneOrMore<IpAddr>,
        optional flow_log: FlowLog,
        optional on_event: List<PathBuf>,
        optional hook_user: String,
        optional webhook: WebhookUrl,
        optional webhook_ca_file: PathBuf,
    }
}

section! {
    FlowLog "[gateway.flow_log]" {
        required to: Destination = "to = \"/var/log/privatelink/flows.log\"",
        optional format: FlowLogFormat,
        optional fields: OneOrMore<LogField>,
        optional interval: LogInterval,
        optional refusals: bool,
        optional rotate_size: Quantity,
        optional rotate_count: LogFiles,
    }
}

section! {
    Principal "[[principal]]" {
        required name: Name = "name = \"acme\"",
        optional users: List<String>,
        optional groups: List<String>,
    }
}

section! {
    Network "[[network]]" {
        required name: Name = "name = \"acme\"",
        required principal: Name = "principal = \"acme\"",
        required interface: Interface = "interface = \"eth1\"",
        required subnets: OneOrMore<IpNet> = "subnets = [\"10.1.0.0/24\"]",
        optional vlan: VlanId,
        optional gateway: Routers,
        optional dns: bool,
        optional dns_accept: List<DnsPattern>,
        optional forwarders: List<IpAddr>,
        optional dns_rate: Quantity,
    }
}

section! {
    Service "[[service]]" {
        required name: Name = "name = \"payments\"",
        required principal: Name = "principal = \"vendor\"",
        required network: Name = "network = \"vendor\"",
        required source_addresses: OneOrMore<Pool> = "source_addresses = [\"10.0.0.240/29\"]",
        required listener: OneOrMore<Listener> = "[[service.listener]]",
        optional target: OneOrMore<Target>,
        optional acceptance: AcceptancePolicy,
        optional allow: List<Who>,
        optional accept: List<Who>,
        optional request_expiry: RequestExpiry,
        optional on_disallow: OnDisallow,
        optional private_dns: List<DnsPattern>,
        optional dns_unhealthy: DnsUnhealthy,
        optional on_reject: OnReject,
        optional on_pending: OnPending,
        optional fail_open: bool,
        optional on_unhealthy: OnUnhealthy,
        optional stickiness: Stickiness,
        optional drain: Drain,
        optional targets_file: PathBuf,
        optional resolvers: OneOrMore<IpAddr>,
        optional health_check: HealthCheck,
    }
}

section! {
    Listener "[[service.listener]]" {
        required protocol: Protocol = "protocol = \"tcp\"",
        optional port: Port,
        optional ports: PortRange,
        optional target_port: PortRange,
        optional map: PortMap,
        optional idle_timeout: IdleTimeout,
    }
}

section! {
    Target "[[service.target]]" {
        required address: TargetAddress = "address = \"10.0.0.10\"",
        optional weight: Weight,
    }
}

section! {
    HealthCheck "[service.health_check]" {
        required protocol: ProbeProtocol = "protocol = \"tcp\"",
        optional path: String,
        optional matcher: StatusCodes,
        optional host: DnsName,
        optional service: String,
        optional tls: bool,
        optional ca_file: PathBuf,
        optional port: Port,
        optional interval: ProbeInterval,
        optional timeout: ProbeTimeout,
        optional healthy_threshold: Threshold,
        optional unhealthy_threshold: Threshold,
    }
}

section! {
    Endpoint "[[endpoint]]" {
        required name: Name = "name = \"acme-payments\"",
        required service: Name = "service = \"payments\"",
        required network: Name = "network = \"acme\"",
        optional addresses: Addresses,
        optional allow: OneOrMore<SecurityRule>,
        optional limits: Limits,
        optional private_dns: bool,
    }
}

section! {
    SecurityRule "allow = [{ from = … }]" {
        required from: Pool = "from = \"10.1.0.0/24\"",
        optional ports: OneOrMore<PortRange>,
    }
}

section! {
    Limits "limits = { … }" {
        optional flows: Quantity,
        optional new_flows_per_second: Quantity,
        optional packets_per_second: Quantity,
        optional bits_per_second: Quantity,
    }
}

/// How the reference calls what the decoder calls an endpoint's `allow`.
pub(super) const RULE_TITLE: &str = "allow = [{ from = … }]";
/// How the reference calls what the decoder calls an endpoint's `limits`.
pub(super) const LIMITS_TITLE: &str = "limits = { … }";

/// The keys of every table.
#[cfg(test)]
pub(super) const ALL_KEYS: [&[&str]; 11] = [
    Gateway::KEYS,
    FlowLog::KEYS,
    Principal::KEYS,
    Network::KEYS,
    Service::KEYS,
    Listener::KEYS,
    Target::KEYS,
    HealthCheck::KEYS,
    Endpoint::KEYS,
    SecurityRule::KEYS,
    Limits::KEYS,
];

/// A prefix, or an address as the prefix of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pool(pub IpNet);

impl Decode for Pool {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let Some(text) = entry.value.as_str() else {
            return entry.mistyped("an address or a prefix in quotes", report);
        };
        let pool = if text.contains('/') { prefix(text) } else { address(text).map(IpNet::from) };
        entry.accept(pool, report).map(Self)
    }
}

/// A network's routers: one, or a list.
#[derive(Debug)]
pub(super) struct Routers(pub List<IpAddr>);

impl Decode for Routers {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        if entry.value.is_array() {
            return List::decode(entry, report).map(Self);
        }
        entry.located(report).map(|router| Self(vec![router]))
    }
}

/// A principal, or all of them.
#[derive(Debug, Clone)]
pub(super) enum Who {
    Anybody,
    Principal(Name),
}

impl Decode for Who {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        if entry.value.as_str() == Some("*") {
            return Some(Self::Anybody);
        }
        Name::decode(entry, report).map(Self::Principal)
    }
}

/// An endpoint's addresses: `"auto"` or a list.
#[derive(Debug)]
pub(super) enum Addresses {
    Auto,
    List(OneOrMore<IpAddr>),
}

impl Decode for Addresses {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        if entry.value.is_array() {
            return OneOrMore::decode(entry, report).map(Self::List);
        }
        if entry.value.as_str() == Some("auto") {
            return Some(Self::Auto);
        }
        entry.mistyped_or_unknown("\"auto\" or a list in brackets", report)
    }
}

impl Entry<'_> {
    /// Reports a value that is neither the one word nor the other shape that the key takes.
    fn mistyped_or_unknown<T>(&self, expected: &str, report: &mut Report) -> Option<T> {
        let Some(text) = self.value.as_str() else { return self.mistyped(expected, report) };
        report.push(
            Fault::new(format!("`{}` cannot be `{text}`", self.key))
                .at(self.at)
                .help(format!("use {expected}")),
        );
        None
    }
}

impl Decode for TargetAddress {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let Some(text) = entry.value.as_str() else {
            return entry.mistyped("an IP address or a DNS name in quotes", report);
        };
        entry.accept(target_address(text), report)
    }
}

/// Where a target is.
pub(super) fn target_address(text: &str) -> Result<TargetAddress, Invalid> {
    match address(text) {
        // Whoever mistypes an address is not helped by the rules for names.
        Err(mistyped @ Invalid::Address(_)) => {
            text.parse().map(TargetAddress::Dns).or(Err(mistyped))
        }
        address => address.map(TargetAddress::Ip),
    }
}

impl Decode for Destination {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let Some(text) = entry.value.as_str() else {
            return entry.mistyped("a path in quotes, or \"stdout\"", report);
        };
        let (path, socket) = text.strip_prefix("unix:").map_or((text, false), |path| (path, true));
        let to = match (text, path.starts_with('/')) {
            ("stdout", _) => Ok(Self::Stdout),
            (_, true) if socket => Ok(Self::Socket(path.into())),
            (_, true) => Ok(Self::File(path.into())),
            (_, false) => Err(Invalid::Destination(text.into())),
        };
        entry.accept(to, report)
    }
}

/// What records of flows look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlowLogFormat {
    Json,
    Vpc,
}

impl Decode for FlowLogFormat {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("json", Self::Json), ("vpc", Self::Vpc)], report)
    }
}

impl Decode for LogField {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let words: Vec<_> = Self::ALL.iter().map(|field| (field.word(), *field)).collect();
        entry.choose(&words, report)
    }
}

impl Decode for Protocol {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("tcp", Self::Tcp), ("udp", Self::Udp)], report)
    }
}

impl Decode for AcceptancePolicy {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("manual", Self::Manual), ("automatic", Self::Automatic)], report)
    }
}

impl Decode for OnDisallow {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("cut", Self::Cut), ("keep", Self::Keep)], report)
    }
}

impl Decode for DnsUnhealthy {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("keep", Self::Keep), ("withdraw", Self::Withdraw)], report)
    }
}

impl Decode for OnUnhealthy {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("reset", Self::Reset), ("keep", Self::Keep)], report)
    }
}

impl Decode for Stickiness {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("none", Self::None), ("client", Self::Client)], report)
    }
}

impl Decode for OnPending {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.choose(&[("reset", Self::Reset), ("drop", Self::Drop)], report)
    }
}

section! {
    OnRejectDrain "on_reject = { drain = … }" {
        required drain: crate::model::RejectDrain = "drain = \"30s\"",
    }
}

impl Decode for OnReject {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        if entry.value.is_table() {
            let drain = OnRejectDrain::decode(entry, report)?.drain?;
            return Some(Self::Drain(drain.value));
        }
        if entry.value.as_str() == Some("drain") {
            report.push(
                Fault::new(format!("`{}` drains, but does not say how long", entry.key))
                    .at(entry.at)
                    .help("write `on_reject = { drain = \"30s\" }`"),
            );
            return None;
        }
        entry.choose(&[("reset", Self::Reset), ("drop", Self::Drop)], report)
    }
}

/// What a health check speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeProtocol {
    Tcp,
    Http,
    Https,
    Grpc,
}

impl Decode for ProbeProtocol {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let choices = [
            ("tcp", Self::Tcp),
            ("http", Self::Http),
            ("https", Self::Https),
            ("grpc", Self::Grpc),
        ];
        entry.choose(&choices, report)
    }
}
