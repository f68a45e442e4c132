//! The configuration as it is written: every value well-formed, nothing yet compared.

mod values;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;

use super::{
    decode::{Decode, Entry, List, OneOrMore, Section, Table, section},
    diagnostic::Report,
    port_map::PortMap,
    schema::{self, Described},
    source::Located,
};
use crate::model::{
    AcceptancePolicy, Destination, DnsName, DnsPattern, DnsTtl, DnsUnhealthy, Drain, IdleTimeout,
    Interface, LogField, LogFiles, LogInterval, MaxFlows, Name, OnDisallow, OnPending, OnReject,
    OnUnhealthy, Port, PortRange, ProbeInterval, ProbeTimeout, Protocol, Quantity, RequestExpiry,
    StatusCodes, Stickiness, TargetAddress, Threshold, VlanId, WebhookUrl, Weight,
};

pub(super) use values::{
    Addresses, FlowLogFormat, Pool, ProbeProtocol, Routers, Who, target_address,
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

section! {
    OnRejectDrain "on_reject = { drain = … }" {
        required drain: crate::model::RejectDrain = "drain = \"30s\"",
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
