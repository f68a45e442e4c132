//! A service's source addresses and targets.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::{Claims, claims::Role, is_host, list, reserved};
use crate::{
    config::{
        decode::List,
        diagnostic::{Fault, Report},
        raw,
        source::{Located, Location},
    },
    model::{MAX_SOURCE_ADDRESSES, Name, Network, Target, TargetAddress, Weight},
};

const DEFAULT_WEIGHT: Weight = Weight::constant::<100>();

/// The source addresses one by one.
pub(super) fn sources(
    name: &Name,
    pools: List<raw::Pool>,
    network: Option<&Network>,
    claims: &mut Claims,
    report: &mut Report,
) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::new();
    let mut room = MAX_SOURCE_ADDRESSES;
    for Located { value: raw::Pool(pool), at } in pools {
        let host_bits = pool.max_prefix_len() - pool.prefix_len();
        let size = 1usize.checked_shl(host_bits.into()).unwrap_or(usize::MAX);
        let Some(rest) = room.checked_sub(size) else {
            report.push(
                Fault::new(format!(
                    "the service `{name}` has more than {MAX_SOURCE_ADDRESSES} source addresses"
                ))
                .at(at)
                .help("use a longer prefix: one address carries some 60,000 flows per target port"),
            );
            continue;
        };
        room = rest;
        // Subnets of full length are all addresses, the first and the last included.
        addresses.extend(
            pool.subnets(pool.max_prefix_len()).into_iter().flatten().map(|host| host.addr()),
        );
        if let Some(network) = network {
            inside(pool, at, network, report);
            claims.sources(&network.name, pool, name, at);
        }
    }
    addresses
}

/// Reports source addresses that the network's hosts could not answer.
fn inside(pool: IpNet, at: Location, network: &Network, report: &mut Report) {
    let Some(subnet) = network.subnets.iter().copied().find(|subnet| subnet.contains(&pool)) else {
        report.push(
            Fault::new(format!("{pool} is not in a subnet of `{}`", network.name))
                .at(at)
                .help(format!("choose source addresses within {}", list(&network.subnets))),
        );
        return;
    };
    let edge = reserved(subnet).into_iter().flatten().find(|edge| pool.contains(edge));
    if let Some(edge) = edge {
        report.push(
            Fault::new(format!("{edge} is the network or broadcast address of {subnet}"))
                .at(at)
                .label(format!("includes {edge}"))
                .help("choose source addresses that leave it out: no host would answer it"),
        );
    }
}

/// The targets, each reachable and of a family that the gateway can speak to it.
pub(super) fn targets(
    name: &Name,
    raw: List<raw::Target>,
    sources: Option<&BTreeSet<IpAddr>>,
    network: Option<&Network>,
    claims: &mut Claims,
    report: &mut Report,
) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let mut places: Vec<Location> = Vec::new();
    let mut sourceless = [false; 2];
    for raw in raw {
        let Some(address) = raw.value.address else { continue };
        let at = address.at;
        let twin = targets.iter().position(|target| target.address == address.value);
        if let Some(first) = twin.and_then(|twin| places.get(twin)) {
            report.push(
                Fault::new(format!("the target {} is listed twice", address.value))
                    .at(at)
                    .related(*first, "first listed here")
                    .help("remove one of the two, and give the other the `weight` of both"),
            );
            continue;
        }
        if let TargetAddress::Ip(ip) = address.value
            && is_host(ip, at, report)
        {
            if let Some(network) = network {
                reachable(ip, at, network, report);
                claims.address(&network.name, ip, Role::Target, name, at);
            }
            let told = &mut sourceless[usize::from(ip.is_ipv6())];
            if !*told && let Some(sources) = sources {
                *told = sourceless_target(name, ip, at, sources, report);
            }
        }
        let weight = raw.value.weight.map_or(DEFAULT_WEIGHT, |weight| weight.value);
        targets.push(Target { address: address.value, weight });
        places.push(at);
    }
    targets
}

fn reachable(ip: IpAddr, at: Location, network: &Network, report: &mut Report) {
    if network.subnet_of(ip).is_some() || network.gateway_for(ip).is_some() {
        return;
    }
    report.push(
        Fault::new(format!("the target {ip} is not in a subnet of `{}`", network.name))
            .at(at)
            .help(format!(
                "choose a target within {}, or set `gateway` in the network to the router that \
                 leads to it",
                list(&network.subnets)
            )),
    );
}

/// Reports a target that no source address can speak to, and whether it did.
fn sourceless_target(
    name: &Name,
    ip: IpAddr,
    at: Location,
    sources: &BTreeSet<IpAddr>,
    report: &mut Report,
) -> bool {
    if sources.is_empty() || sources.iter().any(|source| source.is_ipv4() == ip.is_ipv4()) {
        return false;
    }
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    report.push(
        Fault::new(format!("the service `{name}` has no {family} source address"))
            .at(at)
            .label(format!("needs an {family} source address"))
            .help("add a prefix of that family to `source_addresses`"),
    );
    true
}
