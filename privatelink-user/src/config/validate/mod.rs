//! From well-formed parts to a [`Model`]: do the parts fit together?
//!
//! A part with a fault is left out and the rest is still compared, so that one pass finds all
//! faults. Names count as defined even if what they name has a fault of its own.

mod addresses;
mod claims;
mod dns;
mod endpoint;
mod flow_log;
mod health_check;
mod listener;
mod network;
mod service;

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use self::claims::Claims;
use super::{
    decode::{List, OneOrMore},
    diagnostic::{Fault, Report},
    raw::{self, Document},
    source::{Kind, Located, Location},
    suggestion::suggestion,
};
use crate::model::{Gateway, Model, Name, Network, Principal, Subscriptions};

/// Joins the files into a model, or reports why they do not make one.
pub(super) fn model(documents: Vec<Document>, report: &mut Report) -> Option<Model> {
    let mut gateways = Vec::new();
    let mut principals = Vec::new();
    let mut networks = Vec::new();
    let mut services = Vec::new();
    let mut endpoints = Vec::new();
    for document in documents {
        gateways.extend(document.gateway);
        principals.extend(document.principal.into_iter().flat_map(|list| list.value));
        networks.extend(document.network.into_iter().flat_map(|list| list.value));
        services.extend(document.service.into_iter().flat_map(|list| list.value));
        endpoints.extend(document.endpoint.into_iter().flat_map(|list| list.value));
    }

    let gateway = gateway(gateways, report);
    let principals = valid(unique(principals, report), |name, raw| principal(name, raw, report));
    let raw_networks = unique(networks, report);
    let raw_services = unique(services, report);
    let raw_endpoints = unique(endpoints, report);

    let mut claims = Claims::default();
    let mut places = dns::Places::default();
    for (name, service) in &raw_services {
        places.service(name, service.value.private_dns.as_ref());
    }
    for (name, endpoint) in &raw_endpoints {
        places.endpoint(name, endpoint.value.name.as_ref().map_or(endpoint.at, |name| name.at));
    }
    let mut scope = Scope {
        networks: Names::of(Kind::Network, &raw_networks),
        services: Names::of(Kind::Service, &raw_services),
        attached: BTreeMap::new(),
    };
    scope.attached = network::validate(raw_networks, &mut claims, report);
    let services =
        valid(raw_services, |name, raw| service::validate(name, raw, &scope, &mut claims, report));
    let endpoints = valid(raw_endpoints, |name, raw| {
        endpoint::validate(name, raw, &scope, &mut claims, report)
    });
    claims.compare(report);
    let gateway = gateway?;
    let parts = dns::Parts {
        gateway: &gateway,
        networks: &scope.attached,
        services: &services,
        endpoints: &endpoints,
    };
    places.compare(&parts, report);
    Some(Model::from_checked(gateway, principals, scope.attached, services, endpoints))
}

/// What services and endpoints may refer to.
struct Scope {
    networks: Names,
    services: Names,
    /// The networks without faults of their own.
    attached: BTreeMap<Name, Network>,
}

/// The names of one kind.
struct Names {
    kind: Kind,
    names: Vec<Name>,
}

impl Names {
    fn of<T>(kind: Kind, parts: &BTreeMap<Name, T>) -> Self {
        Self { kind, names: parts.keys().cloned().collect() }
    }

    /// The name, if something has it.
    fn resolve(&self, name: Located<Name>, report: &mut Report) -> Option<Name> {
        if self.names.binary_search(&name.value).is_ok() {
            return Some(name.value);
        }
        let word = self.kind.word();
        let known = self.names.iter().map(Name::as_str);
        report.push(
            Fault::new(format!("there is no {word} `{}`", name.value))
                .at(name.at)
                .label("not defined in any file")
                .help(suggestion(name.value.as_str(), known).unwrap_or_else(|| {
                    format!("define it with [[{word}]], or name one that exists")
                })),
        );
        None
    }
}

/// A raw part that has a name of its own.
trait Named {
    const KIND: Kind;
    fn name(&self) -> Option<&Located<Name>>;
}

macro_rules! named {
    ($($type:ident)*) => {$(
        impl Named for raw::$type {
            const KIND: Kind = Kind::$type;
            fn name(&self) -> Option<&Located<Name>> {
                self.name.as_ref()
            }
        }
    )*};
}
named! { Principal Network Service Endpoint }

/// Orders parts by name, keeps the first of each, and reports the others.
fn unique<T: Named>(parts: List<T>, report: &mut Report) -> BTreeMap<Name, Located<T>> {
    let mut unique: BTreeMap<Name, Located<T>> = BTreeMap::new();
    for part in parts {
        // A part whose name is missing or refused is in the report already.
        let Some(name) = part.value.name().cloned() else { continue };
        let Some(first) = unique.get(&name.value) else {
            unique.insert(name.value, part);
            continue;
        };
        let first = first.value.name().map_or(first.at, |name| name.at);
        report.push(
            Fault::new(format!("the {} `{}` is defined twice", T::KIND.word(), name.value))
                .at(name.at)
                .label("defined again here")
                .related(first, "first defined here")
                .help("rename or remove one of the two"),
        );
    }
    unique
}

/// Validates each part, leaving out those with faults.
fn valid<Raw, T>(
    parts: BTreeMap<Name, Located<Raw>>,
    mut validate: impl FnMut(&Name, Located<Raw>) -> Option<T>,
) -> BTreeMap<Name, T> {
    parts
        .into_iter()
        .filter_map(|(name, raw)| validate(&name, raw).map(|part| (name, part)))
        .collect()
}

fn gateway(gateways: Vec<Located<raw::Gateway>>, report: &mut Report) -> Option<Gateway> {
    let mut gateways = gateways.into_iter();
    let Some(first) = gateways.next() else {
        report.push(
            Fault::new("no file has a [gateway] table")
                .help("add `[gateway]` with `name = \"gw-a\"` to one file"),
        );
        return None;
    };
    for other in gateways {
        report.push(
            Fault::new("there are two [gateway] tables")
                .at(other.at)
                .label("another one here")
                .related(first.at, "first one here")
                .help("keep one of the two: all files together configure one gateway"),
        );
    }
    let raw = first.value;
    let domain = match raw.domain {
        Some(domain) => domain.value,
        None => Gateway::DEFAULT_DOMAIN.parse().ok()?,
    };
    let group = raw.group.and_then(|group| member(group, report));
    let hook_user = raw.hook_user.and_then(|user| member(user, report));
    let flow_log = match raw.flow_log {
        Some(log) => Some(flow_log::validate(log.value, report)?),
        None => None,
    };
    Some(Gateway {
        name: raw.name?.value,
        domain,
        dns_proof: raw.dns_proof.map(|resolver| resolver.value),
        dns_ttl: or_default(raw.dns_ttl, Gateway::DEFAULT_DNS_TTL),
        metrics: raw.metrics.map(|metrics| metrics.value),
        max_flows: or_default(raw.max_flows, Gateway::DEFAULT_MAX_FLOWS),
        state_dir: or_default(raw.state_dir, Gateway::DEFAULT_STATE_DIR.into()),
        socket: or_default(raw.socket, Gateway::DEFAULT_SOCKET.into()),
        group,
        pin_dir: or_default(raw.pin_dir, Gateway::DEFAULT_PIN_DIR.into()),
        flow_log,
        subscriptions: Subscriptions {
            hooks: or_default(raw.on_event, Vec::new()).into_iter().map(|one| one.value).collect(),
            hook_user,
            webhook: raw.webhook.map(|url| url.value),
            webhook_ca_file: raw.webhook_ca_file.map(|file| file.value),
        },
        resolvers: resolvers(raw.resolvers),
    })
}

fn resolvers(raw: Option<Located<OneOrMore<IpAddr>>>) -> Vec<IpAddr> {
    raw.into_iter().flat_map(|list| list.value.0).map(|server| server.value).collect()
}

fn principal(name: &Name, raw: Located<raw::Principal>, report: &mut Report) -> Option<Principal> {
    let mut members = |list: Option<Located<List<String>>>| {
        let list = or_default(list, Vec::new());
        list.into_iter().filter_map(|name| member(name, report)).collect()
    };
    let (users, groups) = (members(raw.value.users), members(raw.value.groups));
    Some(Principal { name: name.clone(), users, groups })
}

/// The name of a unix user or group.
fn member(name: Located<String>, report: &mut Report) -> Option<String> {
    if name.value.is_empty() {
        report.push(
            Fault::new("the name of a unix user or group is empty")
                .at(name.at)
                .help("write the name, or leave this one out"),
        );
        return None;
    }
    Some(name.value)
}

/// The value of a key, or what stands for it where it is left out.
fn or_default<T>(value: Option<Located<T>>, default: T) -> T {
    value.map_or(default, |located| located.value)
}

/// Whether a host can have this address; the report says why not.
fn is_host(address: IpAddr, at: Location, report: &mut Report) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let wrong = if address.is_unspecified() {
        "the unspecified address"
    } else if address.is_loopback() {
        "a loopback address"
    } else if address.is_multicast() || broadcast {
        "a multicast or broadcast address"
    } else {
        return true;
    };
    report.push(
        Fault::new(format!("`{address}` is {wrong}"))
            .at(at)
            .help("use an address that a host in the network can have"),
    );
    false
}

/// The network and broadcast address of an IPv4 subnet, which its hosts do not talk to.
fn reserved(subnet: IpNet) -> Option<[IpAddr; 2]> {
    let shared = matches!(subnet, IpNet::V4(v4) if v4.prefix_len() <= 30);
    shared.then(|| [subnet.network(), subnet.broadcast()])
}

/// Subnets as they stand in a sentence.
fn list(subnets: &[IpNet]) -> String {
    subnets.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ")
}
