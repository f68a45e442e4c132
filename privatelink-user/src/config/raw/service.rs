//! Services: what providers publish.

use std::{net::IpAddr, path::PathBuf};

use super::values::{Groups, PrefixOrAddress, ProbeProtocol, Who};
use crate::{
    config::{
        decode::{Decode, List, OneOrMore},
        diagnostic::Report,
        port_map::PortMap,
        section::{self, Absence, Key, Section, SectionReader, section},
        source::Located,
        toml_value::TomlValue,
        written::{Written, quoted},
    },
    model::{
        self, AcceptancePolicy, DnsName, DnsPattern, DnsUnhealthy, Drain, IdleTimeout, Line, Name,
        OnDisallow, OnPending, OnReject, OnUnhealthy, Port, PortRange, ProbeInterval, ProbeTimeout,
        Protocol, RequestExpiry, StatusCodes, Stickiness, Tags, TargetAddress, Threshold, Weight,
    },
};

section! {
    /// What a provider publishes.
    Service "[[service]]" {
        /// The service.
        name: Name = required r#"name = "payments""#,
        /// Its provider.
        principal: Name = required r#"principal = "vendor""#,
        /// What it is, for those who may connect: the catalogue shows it.
        description: Line = optional "none",
        /// Words of your own: the catalogue and lists show them.
        tags: Tags = default Tags::default(),
        /// The network that its targets are in.
        network: Name as "name of a network" = required r#"network = "vendor""#,
        /// Who decides about a request that `accept` does not decide: the provider, or no one, and
        /// the request is accepted. See [acceptance](acceptance.md).
        acceptance: AcceptancePolicy = default AcceptancePolicy::Manual,
        /// Who may connect: no principal if the list is empty, every principal with `"*"`, which
        /// stands alone.
        allow: List<Who> = default List::new(),
        /// Principals of `allow` that are accepted without a decision. Each must be in `allow`.
        accept: List<Who> = default List::new(),
        /// How long a request waits for the provider's decision before it expires.
        request_expiry: RequestExpiry = optional "never",
        /// What happens to an available connection once `allow` no longer lists its principal:
        /// `"cut"` rejects it, `"keep"` leaves it until it is rejected or expires.
        on_disallow: OnDisallow = default OnDisallow::Cut,
        /// Addresses from which the gateway speaks to targets: all addresses of each prefix,
        /// together at most 4096. Services of one network may share them.
        source_addresses: OneOrMore<PrefixOrAddress> = required
            r#"source_addresses = ["10.0.0.240/29"]"#,
        /// Names under which consumers find the service, besides the generated names of their
        /// endpoints. A name belongs to one provider.
        private_dns: List<DnsPattern> = default List::new(),
        /// What the names do while no target passes its checks: `"keep"` leads to the endpoint as
        /// before, `"withdraw"` removes them.
        dns_unhealthy: DnsUnhealthy = default DnsUnhealthy::Keep,
        /// What both ends see once a connection is rejected or has expired: a reset, nothing, or a
        /// reset after the drain (1 s to 7 days), during which existing flows continue.
        on_reject: OnReject = default OnReject::Reset,
        /// What a consumer sees before the decision. With `"drop"` its endpoint does not answer
        /// ping either until then.
        on_pending: OnPending = default OnPending::Reset,
        /// Send new flows to unhealthy targets when no target is healthy.
        fail_open: bool = default false,
        /// What happens to the flows of a target that is unhealthy on every port that it serves,
        /// unless `fail_open` sends it new flows: `"reset"` ends them, `"keep"` lets them continue
        /// as long as they can.
        on_unhealthy: OnUnhealthy = default OnUnhealthy::Reset,
        /// Which flows go to the same target: `"client"` sends all flows of one client there,
        /// `"none"` leaves it to chance. See [targets](targets.md).
        stickiness: Stickiness = default Stickiness::None,
        /// How long flows of a removed or weight-0 target continue.
        drain: Drain = default model::Service::DEFAULT_DRAIN,
        /// Where the service is offered: see `[[service.listener]]` below.
        listener: OneOrMore<Listener> as "one or more tables" = required "[[service.listener]]",
        /// The backends: see `[[service.target]]` below.
        target: OneOrMore<Target> as "one or more tables" = optional
            "required, unless there is a `targets_file` or each listener has a `map`",
        /// A file with more targets, which another program writes. See [health.md](health.md).
        targets_file: PathBuf = optional "none",
        /// Name servers for this service's targets that are DNS names.
        resolvers: OneOrMore<IpAddr> = optional "those of the gateway",
        /// How targets are checked: see `[service.health_check]` below.
        health_check: HealthCheck = optional "none: every target is healthy",
    }
}

section! {
    /// Ports on which a service is offered.
    Listener "[[service.listener]]" {
        /// The transport protocol.
        protocol: Protocol = required r#"protocol = "tcp""#,
        /// The port at the endpoint.
        port: Port = optional "this, `ports` or `map`",
        /// A range of ports at the endpoint.
        ports: PortRange = optional "this, `port` or `map`",
        /// The ports at the target: as many as the listener has, in the same order.
        target_port: PortRange = optional "the same ports",
        /// Ports at the endpoint, each with the one target that it leads to:
        /// `{ 9092 = "10.0.0.11", 9093 = "10.0.0.12:19092" }`.
        map: PortMap = optional "this, `port` or `ports`",
        /// The group of targets that it leads to, or groups with the share of each:
        /// `{ blue = 90, green = 10 }`. See [targets](targets.md).
        group: Groups = optional "all targets",
        /// How long an idle flow is kept.
        idle_timeout: IdleTimeout = optional format!(
            "{} for TCP, {} for UDP",
            model::Listener::default_idle_timeout(Protocol::Tcp).written(),
            model::Listener::default_idle_timeout(Protocol::Udp).written(),
        ),
    }
}

section! {
    /// A backend of a service.
    Target "[[service.target]]" {
        /// The backend. A DNS name is resolved again and again. An address must be in the network's
        /// subnets, or be reached through its `gateway`.
        address: TargetAddress = required r#"address = "10.0.0.10""#,
        /// Its share of new flows; 0 drains it.
        weight: Weight = default model::Target::DEFAULT_WEIGHT,
        /// Its port, where that is another one than the listener's `target_port`. Listeners of
        /// several ports cannot lead to such a target.
        port: Port = optional "the listener's",
        /// A group of targets, for listeners with a `group`.
        group: Name as "name of a group" = optional "none",
    }
}

section! {
    /// How targets are checked.
    HealthCheck "[service.health_check]" {
        /// The protocol of the check.
        protocol: ProbeProtocol = required r#"protocol = "tcp""#,
        /// The path to fetch.
        path: String as "text that begins with `/`" = optional "required for http and https",
        /// The HTTP status codes that pass: one, a range, or several separated by commas.
        matcher: StatusCodes = optional quoted(&StatusCodes::default().to_string()),
        /// The host that the request names, in HTTP and in TLS.
        host: DnsName = optional "the target's address",
        /// The service that a gRPC check asks about.
        service: String = optional "the server as a whole",
        /// Check gRPC over TLS.
        tls: bool = optional false.written(),
        /// Certificates in PEM, one of which must have signed the target's certificate.
        ca_file: PathBuf = optional "any certificate passes",
        /// The port to check.
        port: Port = optional "the target's port",
        /// Time from one check to the next.
        interval: ProbeInterval = default model::HealthCheck::DEFAULT_INTERVAL,
        /// How long an answer may take; shorter than `interval`.
        timeout: ProbeTimeout = default model::HealthCheck::DEFAULT_TIMEOUT,
        /// Consecutive passing checks that make a target healthy.
        healthy_threshold: Threshold = default model::HealthCheck::DEFAULT_THRESHOLD,
        /// Consecutive failing checks that make a target unhealthy.
        unhealthy_threshold: Threshold = default model::HealthCheck::DEFAULT_THRESHOLD,
    }
}
