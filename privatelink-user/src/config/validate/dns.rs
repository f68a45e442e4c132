//! Names in the DNS: no name leads to two places, and none is claimed by two providers.

use std::collections::BTreeMap;

use crate::{
    config::{
        decode::List,
        diagnostic::{Fault, Report},
        source::{Located, Location},
    },
    model::{DnsName, DnsPattern, Endpoint, Gateway, Name, Network, Service, naming},
};

/// Where names were written.
#[derive(Debug, Default)]
pub(super) struct Places {
    private: BTreeMap<Name, Vec<Location>>,
    endpoints: BTreeMap<Name, Location>,
}

/// Everything that names come from.
pub(super) struct Parts<'a> {
    pub gateway: &'a Gateway,
    pub networks: &'a BTreeMap<Name, Network>,
    pub services: &'a BTreeMap<Name, Service>,
    pub endpoints: &'a BTreeMap<Name, Endpoint>,
}

/// One private name of one service.
#[derive(Clone, Copy)]
struct Claim<'a> {
    service: &'a Service,
    pattern: &'a DnsPattern,
    at: Location,
}

impl Places {
    /// Notes where a service's private names stand.
    pub fn service(&mut self, name: &Name, names: Option<&Located<List<DnsPattern>>>) {
        let list = names.map_or(&[][..], |list| list.value.as_slice());
        self.private.insert(name.clone(), list.iter().map(|name| name.at).collect());
    }

    /// Notes where an endpoint's name stands.
    pub fn endpoint(&mut self, name: &Name, at: Location) {
        self.endpoints.insert(name.clone(), at);
    }

    /// Reports names that do not fit, and those that are claimed twice.
    pub fn compare(&self, parts: &Parts<'_>, report: &mut Report) {
        let mut claims: Vec<Claim<'_>> = parts
            .services
            .values()
            .flat_map(|service| {
                let places = self.private.get(&service.name).into_iter().flatten();
                let named = service.private_dns.iter().zip(places);
                named.map(move |(pattern, at)| Claim { service, pattern, at: *at })
            })
            .collect();
        // The later of two is the one to be blamed.
        claims.sort_by_key(|claim| claim.at);
        between_providers(&claims, parts.gateway.domain.clone(), report);
        self.within_networks(parts, report);
    }

    /// Reports each name that would lead to two endpoints of one network.
    fn within_networks(&self, parts: &Parts<'_>, report: &mut Report) {
        let mut taken: BTreeMap<(&Name, String), &Name> = BTreeMap::new();
        let mut endpoints: Vec<_> = parts.endpoints.values().collect();
        endpoints.sort_by_key(|endpoint| self.endpoints.get(&endpoint.name));
        for endpoint in endpoints {
            let (Some(network), Some(service), Some(at)) = (
                parts.networks.get(&endpoint.network),
                parts.services.get(&endpoint.service),
                self.endpoints.get(&endpoint.name),
            ) else {
                continue;
            };
            if !network.dns {
                continue;
            }
            let generated = naming::generated(parts.gateway, endpoint);
            if let Err(long) = &generated {
                report.push(
                    Fault::new(format!(
                        "the endpoint `{}` gets a name that is too long",
                        endpoint.name
                    ))
                    .at(*at)
                    .label(long.clone())
                    .help("shorten the names of endpoint, service or gateway, or the `domain`"),
                );
            }
            let private = naming::private(network, service, endpoint);
            let private = private.into_iter().map(|pattern| (pattern.to_string(), true));
            let generated = generated.into_iter().flatten().map(|name| (name, false));
            for (name, is_private) in generated.chain(private) {
                let key = (&network.name, name);
                if let Some(first) = taken.get(&key) {
                    report.push(self.twice(&key, first, (&endpoint.name, *at), is_private));
                } else {
                    taken.insert(key, &endpoint.name);
                }
            }
        }
    }

    fn twice(
        &self,
        (network, name): &(&Name, String),
        first: &Name,
        (second, at): (&Name, Location),
        private: bool,
    ) -> Fault {
        let fault = Fault::new(format!(
            "`{name}` would lead to both `{first}` and `{second}` in the network `{network}`"
        ));
        let fault = fault.at(at).help(if private {
            "write `private_dns = false` in one of the two endpoints"
        } else {
            "rename one of the two endpoints"
        });
        match self.endpoints.get(first) {
            Some(place) => fault.related(*place, "the other one"),
            None => fault,
        }
    }
}

/// Reports names that a provider claims though they are another's, or the gateway's.
fn between_providers(claims: &[Claim<'_>], domain: DnsName, report: &mut Report) {
    let mut held: BTreeMap<&str, Vec<Claim<'_>>> = BTreeMap::new();
    for claim in claims {
        let base = claim.pattern.base();
        if *base == domain
            || domain.is_above(base)
            || claim.pattern.is_wildcard() && base.is_above(&domain)
        {
            report.push(
                Fault::new(format!(
                    "`{}` of the service `{}` takes names of the gateway's own domain `{domain}`",
                    claim.pattern, claim.service.name
                ))
                .at(claim.at)
                .help(
                    "choose a name outside of the domain: names in it are made for each endpoint",
                ),
            );
        }
        held.entry(base.as_str()).or_default().push(*claim);
    }
    for claim in claims {
        for other in rivals(*claim, &held) {
            report.push(
                Fault::new(format!(
                    "`{}` of the service `{}` ({}) is held by the service `{}` ({}){}",
                    claim.pattern,
                    claim.service.name,
                    claim.service.principal,
                    other.service.name,
                    other.service.principal,
                    if other.pattern == claim.pattern {
                        String::new()
                    } else {
                        format!(" as `{}`", other.pattern)
                    },
                ))
                .at(claim.at)
                .related(other.at, "claimed here")
                .help("a name belongs to one provider: remove one of the two"),
            );
        }
    }
}

/// The earlier claims of other providers that stand for names of this one, and later ones that
/// only this one meets.
fn rivals<'a>(
    claim: Claim<'a>,
    held: &BTreeMap<&str, Vec<Claim<'a>>>,
) -> impl Iterator<Item = Claim<'a>> {
    let base = claim.pattern.base().as_str();
    let ancestors = std::iter::successors(Some(base), |name| Some(name.split_once('.')?.1));
    let met: Vec<Claim<'a>> = ancestors
        .filter_map(|name| held.get(name))
        .flatten()
        .filter(|other| other.service.principal != claim.service.principal)
        .filter(|other| {
            // What is below a name is the same zone as the name. Of two equal claims the later one
            // meets the earlier one.
            let same = other.pattern.base() == claim.pattern.base();
            if same { other.at < claim.at } else { other.pattern.covers(claim.pattern) }
        })
        .copied()
        .collect();
    met.into_iter()
}
