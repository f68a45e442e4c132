//! Endpoints: where consumers reach a service.

use super::values::{Addresses, PrefixOrAddress, ServiceName};
use crate::{
    config::{
        decode::{Decode, OneOrMore},
        diagnostic::Report,
        section::{self, Absence, Key, Section, SectionReader, section},
        source::Located,
        toml_value::TomlValue,
        written::Written,
    },
    model::{self, Line, Name, PortRange, Protocol, Quantity, ShareWeight, Tags},
};

section! {
    /// A consumer's private way to one service.
    Endpoint "[[endpoint]]" {
        /// The endpoint.
        name: Name = required r#"name = "acme-payments""#,
        /// The service that it leads to; `SITE/SERVICE` is one of another site.
        service: ServiceName = required r#"service = "payments""#,
        /// The network in which consumers find it. The network's principal is the one that requests
        /// the connection.
        network: Name as "name of a network" = required r#"network = "acme""#,
        /// What the consumer tells the provider with its request.
        message: Line = optional "none",
        /// What it is for.
        description: Line = optional "none",
        /// Words of your own: lists show them.
        tags: Tags = default Tags::default(),
        /// Its addresses: `"auto"` allocates them from the network's subnets and keeps them.
        addresses: Addresses = default Addresses::Auto,
        /// Its security rules, see below.
        allow: OneOrMore<SecurityRule> as "list of rules" = optional "the network's `subnets` and `reachable_from`",
        /// Limits on what it may use of the gateway, see below.
        limits: Limits = optional "no limits",
        /// How its share of the flow table and of source ports relates to other endpoints'. The
        /// gateway's operator alone sets it.
        weight: ShareWeight = default model::Endpoint::DEFAULT_WEIGHT,
        /// Whether the service's own names lead here.
        private_dns: bool = default true,
    }
}

section! {
    /// Which clients may reach which ports of an endpoint.
    SecurityRule "allow = [{ from = … }]" {
        /// The clients.
        from: PrefixOrAddress = required r#"from = "10.1.0.0/24""#,
        /// The ports of the endpoint that they may reach.
        ports: OneOrMore<PortRange> = optional "all ports",
        /// By which protocol.
        protocol: Protocol = optional "both",
    }
}

section! {
    /// Limits on what an endpoint may use of the gateway.
    Limits "limits = { … }" {
        /// Flows at a time.
        flows: Quantity = optional "no limit",
        /// New flows per second.
        new_flows_per_second: Quantity = optional "no limit",
        /// Packets per second, both directions together.
        packets_per_second: Quantity = optional "no limit",
        /// Bits per second, both directions together.
        bits_per_second: Quantity = optional "no limit",
    }
}
