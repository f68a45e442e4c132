//! Names in the DNS: in one network no name leads to two endpoints, and none belongs to two
//! providers.

use std::collections::BTreeMap;

use crate::{
    config::{
        decode::List,
        diagnostic::{Fault, Report},
        source::Location,
    },
    model::{DnsName, DnsPattern, Endpoint, Gateway, Name, Network, Service, naming},
};

/// Where the names of services and endpoints are written.
#[derive(Debug, Default)]
pub(super) struct NameLocations {
    private: BTreeMap<Name, Vec<Location>>,
    endpoints: BTreeMap<Name, Location>,
}

/// The objects that names come from.
pub(super) struct ModelObjects<'a> {
    pub gateway: &'a Gateway,
    pub networks: &'a BTreeMap<Name, Network>,
    pub services: &'a BTreeMap<Name, Service>,
    pub endpoints: &'a BTreeMap<Name, Endpoint>,
}

/// One private name of one service.
#[derive(Clone, Copy)]
struct ClaimedName<'a> {
    service: &'a Service,
    pattern: &'a DnsPattern,
    at: Location,
}

impl NameLocations {
    /// Records where a service's private names are written.
    pub fn service(&mut self, name: &Name, names: &List<DnsPattern>) {
        self.private.insert(name.clone(), names.iter().map(|name| name.at).collect());
    }

    /// Records where an endpoint's name is written.
    pub fn endpoint(&mut self, name: &Name, at: Location) {
        self.endpoints.insert(name.clone(), at);
    }

    /// Reports names that are too long or reserved, and those that are claimed twice.
    pub fn compare(&self, objects: &ModelObjects<'_>, report: &mut Report) {
        let mut claims: Vec<ClaimedName<'_>> = objects
            .services
            .values()
            .flat_map(|service| {
                let locations = self.private.get(&service.name).into_iter().flatten();
                let named = service.private_dns.iter().zip(locations);
                named.map(move |(pattern, at)| ClaimedName { service, pattern, at: *at })
            })
            .collect();
        // A fault of two claims is reported at the later one.
        claims.sort_by_key(|claim| claim.at);
        between_providers(&claims, objects.gateway.domain.clone(), report);
        self.within_networks(objects, report);
    }

    /// Reports each name that would lead to two endpoints of one network.
    fn within_networks(&self, objects: &ModelObjects<'_>, report: &mut Report) {
        let mut taken: BTreeMap<(&Name, String), &Name> = BTreeMap::new();
        let mut endpoints: Vec<_> = objects.endpoints.values().collect();
        endpoints.sort_by_key(|endpoint| self.endpoints.get(&endpoint.name));
        for endpoint in endpoints {
            let (Some(network), Some(service), Some(at)) = (
                objects.networks.get(&endpoint.network),
                objects.services.get(&endpoint.service),
                self.endpoints.get(&endpoint.name),
            ) else {
                continue;
            };
            if !network.dns {
                continue;
            }
            let generated = naming::generated(objects.gateway, endpoint);
            if let Err(long) = &generated {
                report.push(
                    Fault::new(format!(
                        "the generated name of the endpoint `{}` is too long",
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

/// Reports names that belong to another provider or to the gateway.
fn between_providers(claims: &[ClaimedName<'_>], domain: DnsName, report: &mut Report) {
    let mut held: BTreeMap<&str, Vec<ClaimedName<'_>>> = BTreeMap::new();
    for claim in claims {
        let base = claim.pattern.base();
        if *base == domain
            || domain.is_above(base)
            || claim.pattern.is_wildcard() && base.is_above(&domain)
        {
            report.push(
                Fault::new(format!(
                    "`{}` of the service `{}` is in the gateway's own domain `{domain}`",
                    claim.pattern, claim.service.name
                ))
                .at(claim.at)
                .help(
                    "choose a name outside that domain: names in it are generated for each endpoint",
                ),
            );
        }
        held.entry(base.as_str()).or_default().push(*claim);
    }
    for claim in claims {
        for other in rivals(*claim, &held) {
            report.push(
                Fault::new(format!(
                    "`{}` of the service `{}` ({}) belongs to the service `{}` ({}){}",
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

/// The claims of other providers that overlap with this one, each pair reported once.
fn rivals<'a>(
    claim: ClaimedName<'a>,
    held: &BTreeMap<&str, Vec<ClaimedName<'a>>>,
) -> impl Iterator<Item = ClaimedName<'a>> {
    let base = claim.pattern.base().as_str();
    let ancestors = std::iter::successors(Some(base), |name| Some(name.split_once('.')?.1));
    let met: Vec<ClaimedName<'a>> = ancestors
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
