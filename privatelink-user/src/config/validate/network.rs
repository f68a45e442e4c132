//! Networks: attachments, subnets and routers.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    address_claims::{AddressClaims, Role},
    hosts::{is_host, list},
};
use crate::{
    config::{
        decode::{List, OneOrMore},
        diagnostic::{Fault, Report},
        raw,
        source::{Located, Location},
    },
    model::{AttachMode, Attachment, Interface, Name, Network},
};

/// Further name servers would be asked only after the client has given up.
const MAX_FORWARDERS: usize = 4;

/// Validates all networks, each alone and against the others.
pub(super) fn validate(
    raw: BTreeMap<Name, Located<raw::Network>>,
    claims: &mut AddressClaims,
    report: &mut Report,
) -> BTreeMap<Name, Network> {
    let mut attachments: BTreeMap<Attachment, (Name, Location)> = BTreeMap::new();
    let mut modes = BTreeMap::new();
    let mut networks = BTreeMap::new();
    // In the order of the files, so that a fault of two networks is reported at the later one.
    let mut raw: Vec<_> = raw.into_iter().collect();
    raw.sort_by_key(|(_, network)| network.at);
    for (name, network) in raw {
        let raw = network.value;
        let attachment = raw.interface.map(|interface| {
            let vlan = raw.vlan.map(|vlan| vlan.value);
            Located { value: Attachment { interface: interface.value, vlan }, at: interface.at }
        });
        if let Some(attachment) = &attachment {
            attach(&name, attachment, &mut attachments, report);
            same_mode(&name, &attachment.value, &raw.mode, &mut modes, report);
        }
        let subnets = raw.subnets.map(|subnets| separate(subnets.value, report));
        let routers = raw.gateway.map_or_else(List::new, |routers| routers.value.0);
        let gateways = match &subnets {
            Some(subnets) => reachable(&name, routers, subnets, claims, report),
            None => Vec::new(),
        };
        let (Some(principal), Some(attachment), Some(subnets)) =
            (raw.principal, attachment, subnets)
        else {
            continue;
        };
        let network = Network {
            name: name.clone(),
            principal: principal.value,
            attachment: attachment.value,
            mode: raw.mode.value,
            subnets,
            reachable_from: routed(raw.reachable_from.value, report),
            gateways,
            host: raw.host.map(|host| host.value),
            taken_from_host: raw.taken_from_host.value.into_iter().map(|one| one.value).collect(),
            publishers: raw.publishers.value.into_iter().map(|name| name.value).collect(),
            dns: raw.dns.value,
            dns_proven: false,
            dns_accept: raw
                .dns_accept
                .map(|list| list.value.into_iter().map(|pattern| pattern.value).collect()),
            forwarders: forwarders(raw.forwarders, report),
            dns_rate: raw.dns_rate.value,
        };
        networks.insert(name, network);
    }
    networks
}

/// The name servers to ask for names that the gateway does not know.
fn forwarders(list: Located<List<IpAddr>>, report: &mut Report) -> Vec<IpAddr> {
    if list.value.len() > MAX_FORWARDERS {
        report.push(
            Fault::new(format!("`forwarders` lists {} name servers", list.value.len()))
                .at(list.at)
                .help(format!("list at most {MAX_FORWARDERS}: a query asks one after the other")),
        );
    }
    let mut hosts = Vec::new();
    for server in list.value {
        if is_host(server.value, server.at, report) {
            hosts.push(server.value);
        }
    }
    hosts
}

/// The interface has one program, so its networks agree on where it runs.
fn same_mode(
    name: &Name,
    attachment: &Attachment,
    mode: &Located<AttachMode>,
    modes: &mut BTreeMap<Interface, (Name, Located<AttachMode>)>,
    report: &mut Report,
) {
    let Some((other, first)) = modes.get(&attachment.interface) else {
        let first = Located { value: mode.value, at: mode.at };
        modes.insert(attachment.interface.clone(), (name.clone(), first));
        return;
    };
    if first.value != mode.value {
        report.push(
            Fault::new(format!(
                "the networks `{other}` and `{name}` are on interface {}, with the modes `{}` and \
                 `{}`",
                attachment.interface, first.value, mode.value
            ))
            .at(mode.at)
            .related(first.at, "the other mode")
            .help("write the same `mode` in both: an interface has one"),
        );
    }
}

fn attach(
    name: &Name,
    attachment: &Located<Attachment>,
    attachments: &mut BTreeMap<Attachment, (Name, Location)>,
    report: &mut Report,
) {
    let Some((other, first)) = attachments.get(&attachment.value) else {
        attachments.insert(attachment.value.clone(), (name.clone(), attachment.at));
        return;
    };
    report.push(
        Fault::new(format!(
            "the networks `{other}` and `{name}` are both attached to {}",
            attachment.value
        ))
        .at(attachment.at)
        .related(*first, "first used here")
        .help("give each network an interface of its own, or a `vlan` of its own on it"),
    );
}

/// The prefixes of routed clients, in order and each once; those that no client can be in are
/// reported. They may hold a subnet, and each other.
fn routed(prefixes: List<IpNet>, report: &mut Report) -> Vec<IpNet> {
    for prefix in &prefixes {
        let first = prefix.value.network();
        if first.is_multicast() || first.is_loopback() {
            report.push(
                Fault::new(format!("`{}` is not a prefix that clients can be in", prefix.value))
                    .at(prefix.at)
                    .help("write the addresses that the consumer routes to this network"),
            );
        }
    }
    let mut prefixes: Vec<IpNet> = prefixes.into_iter().map(|prefix| prefix.value).collect();
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

/// The subnets in order; those that hosts cannot be in and those that overlap are reported.
fn separate(subnets: OneOrMore<IpNet>, report: &mut Report) -> Vec<IpNet> {
    let mut subnets = subnets.0;
    for subnet in &subnets {
        let first = subnet.value.network();
        if first.is_multicast() || first.is_loopback() || subnet.value.prefix_len() == 0 {
            report.push(
                Fault::new(format!("`{}` is not a subnet that hosts can be in", subnet.value))
                    .at(subnet.at)
                    .help("write the network's own address range, such as \"10.1.0.0/24\""),
            );
        }
    }
    // Sorted, a prefix comes directly before the prefixes that it contains.
    subnets.sort_by_key(|subnet| (subnet.value, subnet.at));
    let mut outer: Option<&Located<IpNet>> = None;
    for subnet in &subnets {
        match outer {
            Some(outer) if outer.value.contains(&subnet.value) => report.push(
                Fault::new(format!("the subnets {} and {} overlap", outer.value, subnet.value))
                    .at(subnet.at)
                    .related(outer.at, "overlaps with this one")
                    .help("remove one of the two"),
            ),
            _ => outer = Some(subnet),
        }
    }
    subnets.into_iter().map(|subnet| subnet.value).collect()
}

fn reachable(
    name: &Name,
    routers: List<IpAddr>,
    subnets: &[IpNet],
    claims: &mut AddressClaims,
    report: &mut Report,
) -> Vec<IpAddr> {
    let mut families: [Option<Location>; 2] = [None; 2];
    for Located { value: router, at } in &routers {
        if !is_host(*router, *at, report) {
            continue;
        }
        let link_local = matches!(router, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if !link_local && !subnets.iter().any(|subnet| subnet.contains(router)) {
            report.push(
                Fault::new(format!("the gateway {router} is not in a subnet of `{name}`"))
                    .at(*at)
                    .help(format!("use a router within {}", list(subnets))),
            );
        }
        let family = &mut families[usize::from(router.is_ipv6())];
        if let Some(first) = family {
            report.push(
                Fault::new("a network has at most one gateway per address family")
                    .at(*at)
                    .related(*first, "the first of this family")
                    .help("keep one of the two"),
            );
        }
        *family = family.or(Some(*at));
        claims.address(name, *router, Role::Gateway, name, *at);
    }
    let mut routers: Vec<_> = routers.into_iter().map(|router| router.value).collect();
    routers.sort();
    routers
}
