//! A service's source addresses and targets.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::{
    address_claims::{AddressClaims, Role},
    hosts::{is_host, list, reserved},
};
use crate::{
    config::{
        decode::List,
        diagnostic::{Fault, Report},
        raw,
        source::{Located, Location},
    },
    model::{Name, Network, Service, Target, TargetAddress},
};

/// The source addresses one by one.
pub(super) fn sources(
    name: &Name,
    pools: List<raw::PrefixOrAddress>,
    network: Option<&Network>,
    claims: &mut AddressClaims,
    report: &mut Report,
) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::new();
    let most = Service::MAX_SOURCE_ADDRESSES;
    let mut room = most;
    for Located { value: raw::PrefixOrAddress(pool), at } in pools {
        let host_bits = pool.max_prefix_len() - pool.prefix_len();
        let size = 1usize.checked_shl(host_bits.into()).unwrap_or(usize::MAX);
        let Some(rest) = room.checked_sub(size) else {
            report.push(
                Fault::new(format!(
                    "the service `{name}` has more than {most} source addresses"
                ))
                .at(at)
                .help("use a longer prefix: one address carries about 60,000 flows per target port"),
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

/// Reports source addresses that the network's hosts cannot answer to.
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
                .help("choose source addresses that exclude it: no host answers to it"),
        );
    }
}

/// The targets that listeners share, each once.
pub(super) fn targets(
    raw: List<raw::Target>,
    reach: &mut Reach<'_>,
    claims: &mut AddressClaims,
    report: &mut Report,
) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let mut locations: Vec<Location> = Vec::new();
    for raw in raw {
        let Some(address) = raw.value.address else { continue };
        let at = address.at;
        let twin = targets.iter().position(|target| target.address == address.value);
        if let Some(first) = twin.and_then(|twin| locations.get(twin)) {
            report.push(
                Fault::new(format!("the target {} is listed twice", address.value))
                    .at(at)
                    .related(*first, "first listed here")
                    .help("remove one of the two, and add its `weight` to the other"),
            );
            continue;
        }
        reach.check(&address, claims, report);
        targets.push(Target {
            address: address.value,
            weight: raw.value.weight.value,
            port: raw.value.port.map(|port| port.value),
            group: raw.value.group.map(|group| group.value),
        });
        locations.push(at);
    }
    targets
}

/// Checks whether a service's targets can be reached, and records their addresses.
pub(super) struct Reach<'a> {
    service: &'a Name,
    sources: Option<&'a BTreeSet<IpAddr>>,
    network: Option<&'a Network>,
    /// Whether the missing source address of a family, IPv4 or IPv6, has been reported.
    reported: [bool; 2],
}

impl<'a> Reach<'a> {
    pub fn new(
        service: &'a Name,
        sources: Option<&'a BTreeSet<IpAddr>>,
        network: Option<&'a Network>,
    ) -> Self {
        Self { service, sources, network, reported: [false; 2] }
    }

    /// Reports a target that cannot be reached, or for which the gateway has no source
    /// address.
    pub fn check(
        &mut self,
        target: &Located<TargetAddress>,
        claims: &mut AddressClaims,
        report: &mut Report,
    ) {
        let (TargetAddress::Ip(ip), at) = (&target.value, target.at) else { return };
        if !is_host(*ip, at, report) {
            return;
        }
        if let Some(network) = self.network {
            reachable(*ip, at, network, report);
            claims.address(&network.name, *ip, Role::Target, self.service, at);
        }
        let reported = &mut self.reported[usize::from(ip.is_ipv6())];
        if !*reported && let Some(sources) = self.sources {
            *reported = sourceless_target(self.service, *ip, at, sources, report);
        }
    }
}

fn reachable(ip: IpAddr, at: Location, network: &Network, report: &mut Report) {
    let subnet = network.subnet_of(ip);
    if let Some(subnet) =
        subnet.filter(|subnet| reserved(*subnet).is_some_and(|no| no.contains(&ip)))
    {
        report.push(
            Fault::new(format!("the target {ip} is the network or broadcast address of {subnet}"))
                .at(at)
                .help("use the address of one host: several would answer to this one, or none"),
        );
        return;
    }
    if subnet.is_some() || network.gateway_for(ip).is_some() {
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

/// Reports a target of a family that has no source address; returns whether it did.
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
