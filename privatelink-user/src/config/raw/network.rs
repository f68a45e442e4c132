//! Networks, and the principals who own them.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;

use super::values::Routers;
use crate::{
    config::{
        decode::{Decode, List, OneOrMore},
        diagnostic::Report,
        section::{self, Absence, Key, Section, SectionReader, section},
        source::Located,
        toml_value::TomlValue,
        written::Written,
    },
    model::{
        self, AttachMode, DnsPattern, HostAccess, Interface, Name, Quantity, VlanId, quota::Count,
    },
};

section! {
    /// Which unix users act for a principal.
    Principal "[[principal]]" {
        /// The principal.
        name: Name = required r#"name = "acme""#,
        /// Unix users who act for it.
        users: List<String> = default List::new(),
        /// Unix groups whose members act for it.
        groups: List<String> = default List::new(),
        /// Certificates in PEM of the authority whose client certificates act for it: see
        /// [access](access.md).
        client_ca: PathBuf = optional "none",
        /// Files of this directory that speak for it alone: see [below](#who-may-declare-what).
        files: List<String> = default List::new(),
        /// How much it may have, see below. What is beyond is refused, in files as by the API.
        quota: Quota = optional "no limit",
    }
}

section! {
    /// How much a principal may have.
    Quota "quota = { … }" {
        /// Services.
        services: Count = optional "no limit",
        /// Endpoints in its networks.
        endpoints: Count = optional "no limit",
        /// Targets of its services, those of a `targets_file` aside.
        targets: Count = optional "no limit",
        /// Flows through all its endpoints at a time. An endpoint with a limit of its own has that;
        /// the others have equal parts of the rest.
        flows: Quantity = optional "no limit",
    }
}

section! {
    /// A segment that the gateway is attached to.
    Network "[[network]]" {
        /// The network.
        name: Name = required r#"name = "acme""#,
        /// Its owner.
        principal: Name = required r#"principal = "acme""#,
        /// The interface that leads to it.
        interface: Interface = required r#"interface = "eth1""#,
        /// The VLAN on that interface: see [below](#networks-on-vlans).
        vlan: VlanId = optional "untagged",
        /// Where in the kernel its packets are carried: `"native"`, by XDP in the driver;
        /// `"generic"`, by XDP in the network stack; `"tc"`, by tc in the network stack; or
        /// `"auto"`, which chooses by the kind of interface: see
        /// [modes](operation.md#modes). Networks on one interface have the same.
        mode: AttachMode = default AttachMode::Auto,
        /// Its address ranges; those of one network must not overlap.
        subnets: OneOrMore<IpNet> = required r#"subnets = ["10.1.0.0/24"]"#,
        /// Prefixes of clients that reach the network through a router of its owner. Together with
        /// `subnets` they are the clients that an endpoint without `allow` admits.
        reachable_from: List<IpNet> = default List::new(),
        /// The router that leads to targets outside `subnets`. It must be in a subnet itself, or be
        /// an IPv6 link-local address.
        gateway: Routers = optional "none",
        /// What the gateway's own host takes from this network. `"services"`: nothing but what the
        /// gateway needs there, of senders in `subnets`, and never on to another network. `"all"`:
        /// everything that is not for the gateway, as if it were not there: see
        /// [the host](operation.md#what-reaches-the-host).
        host: HostAccess = optional "`\"services\"`",
        /// Addresses of the gateway's own host in this network that endpoints and services may have.
        /// The host receives nothing at them any more: its own servers there are unreachable.
        taken_from_host: List<IpAddr> = default List::new(),
        /// Principals, besides its owner, who may publish services in it.
        publishers: List<Name> = default List::new(),
        /// Serve private names on this network, at the gateway's own addresses there: see
        /// [private names](dns.md).
        dns: bool = default false,
        /// Which names of providers lead to endpoints here. `"*.internal"` is every name below
        /// `internal`.
        dns_accept: List<DnsPattern> = optional "none; with `dns_proof`, those that are proven",
        /// Name servers of the network, asked in this order for names that the gateway does not
        /// know; at most 4. With none, no name server is asked.
        forwarders: List<IpAddr> = default List::new(),
        /// Answers per second to the clients of one /24 or /64.
        dns_rate: Quantity = default model::Network::DEFAULT_DNS_RATE,
    }
}
