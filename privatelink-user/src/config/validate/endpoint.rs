//! Endpoints: addresses and security rules.

use std::net::IpAddr;

use privatelink_common::policy::MAX_RULES;

use super::{
    address_claims::{AddressClaims, Role},
    backbone,
    hosts::{is_host, list, reserved},
    scope::Scope,
};
use crate::{
    config::{
        decode::{List, OneOrMore},
        diagnostic::{Fault, Report},
        raw,
        source::{Located, Location},
    },
    model::{AddressPair, Endpoint, EndpointAddresses, Limits, Name, Network, SecurityRule},
};

/// Validates one endpoint.
pub(super) fn validate(
    name: &Name,
    raw: Located<raw::Endpoint>,
    scope: &Scope,
    claims: &mut AddressClaims,
    report: &mut Report,
) -> Option<Endpoint> {
    let raw = raw.value;
    let service = raw.service.map(|name| Located { value: name.value.0, at: name.at });
    let linked = service.clone();
    let service = service.and_then(|service| scope.services.resolve(service, report));
    let network = raw.network.and_then(|network| scope.networks.resolve(network, report));
    let attached = network.as_ref().and_then(|network| scope.attached.get(network));
    let backbone = scope.backbone.as_ref();
    let derived = network.as_ref().zip(linked.as_ref()).and_then(|linked| {
        backbone::endpoint_addresses(backbone, name, linked, &raw.addresses, report)
    });
    let addresses = match raw.addresses.value {
        _ if derived.is_some() => derived.map(EndpointAddresses::Fixed),
        raw::Addresses::Auto => Some(EndpointAddresses::Auto),
        raw::Addresses::List(addresses) => {
            fixed(name, addresses.0, attached, claims, report).map(EndpointAddresses::Fixed)
        }
    };
    let allow = raw.allow.map_or_else(Vec::new, |rules| security_rules(name, rules, report));
    Some(Endpoint {
        name: name.clone(),
        message: raw.message.map(|line| line.value),
        description: raw.description.map(|line| line.value),
        tags: raw.tags.value,
        service: service?,
        network: network?,
        addresses: addresses?,
        allow,
        limits: raw.limits.map_or_else(Limits::default, |limits| self::limits(limits.value)),
        weight: raw.weight.value,
        private_dns: raw.private_dns.value,
    })
}

fn fixed(
    name: &Name,
    addresses: List<IpAddr>,
    network: Option<&Network>,
    claims: &mut AddressClaims,
    report: &mut Report,
) -> Option<AddressPair> {
    let (mut v4, mut v6) = (None, None);
    let mut first: [Option<Location>; 2] = [None; 2];
    for Located { value: address, at } in addresses {
        let family = &mut first[usize::from(address.is_ipv6())];
        if let Some(first) = family {
            report.push(
                Fault::new(format!("the endpoint `{name}` has two addresses of one family"))
                    .at(at)
                    .related(*first, "the first of this family")
                    .help("keep one, and define another endpoint if two are needed"),
            );
            continue;
        }
        *family = Some(at);
        match address {
            IpAddr::V4(address) => v4 = Some(address),
            IpAddr::V6(address) => v6 = Some(address),
        }
        if is_host(address, at, report)
            && let Some(network) = network
        {
            belongs(address, at, network, report);
            claims.address(&network.name, address, Role::Endpoint, name, at);
        }
    }
    AddressPair::new(v4, v6)
}

/// Reports an address that hosts of the network cannot reach on their segment.
fn belongs(address: IpAddr, at: Location, network: &Network, report: &mut Report) {
    let Some(subnet) = network.subnet_of(address) else {
        report.push(
            Fault::new(format!("{address} is not in a subnet of `{}`", network.name))
                .at(at)
                .help(format!("choose an address within {}", list(&network.subnets))),
        );
        return;
    };
    if reserved(subnet).is_some_and(|reserved| reserved.contains(&address)) {
        report.push(
            Fault::new(format!("{address} is the network or broadcast address of {subnet}"))
                .at(at)
                .help("choose an address between these two"),
        );
    }
}

/// The rules; more pairs of prefix and port range than the datapath can hold are reported.
fn security_rules(
    name: &Name,
    raw: Located<OneOrMore<raw::SecurityRule>>,
    report: &mut Report,
) -> Vec<SecurityRule> {
    let at = raw.at;
    let rules = raw.value.0.into_iter().filter_map(|rule| security_rule(rule.value));
    let rules: Vec<SecurityRule> = rules.collect();
    let count: usize = rules.iter().map(|rule| rule.ports.len().max(1)).sum();
    if count > MAX_RULES as usize {
        report.push(
            Fault::new(format!("the endpoint `{name}` has {count} pairs of prefix and port range"))
                .at(at)
                .help(format!("merge prefixes or port ranges: an endpoint can have {MAX_RULES}")),
        );
    }
    rules
}

fn security_rule(raw: raw::SecurityRule) -> Option<SecurityRule> {
    let ports = raw.ports.map_or_else(List::new, |ports| ports.value.0);
    Some(SecurityRule {
        from: raw.from?.value.0,
        ports: ports.into_iter().map(|range| range.value).collect(),
        protocol: raw.protocol.map(|protocol| protocol.value),
    })
}

fn limits(raw: raw::Limits) -> Limits {
    Limits {
        flows: raw.flows.map(|limit| limit.value),
        new_flows_per_second: raw.new_flows_per_second.map(|limit| limit.value),
        packets_per_second: raw.packets_per_second.map(|limit| limit.value),
        bits_per_second: raw.bits_per_second.map(|limit| limit.value),
    }
}
