//! Other sites: what each is as a network, and what its services are here.
//!
//! To everything after validation a site is a network like others, and a service of a site is a
//! service like others: their addresses follow from names.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{scope::Scope, service::principals};
use crate::{
    config::{
        decode::{List, OneOrMore},
        diagnostic::{Fault, Report},
        raw,
        source::{Located, Location},
    },
    model::{
        AcceptancePolicy, AddressPair, AttachMode, Attachment, Backbone, DnsUnhealthy, Endpoint,
        Listener, Name, Network, OnDisallow, OnPending, OnReject, OnUnhealthy, PortRange,
        Principals, Protocol, PublicKey, Service, Site, Stickiness, TRANSIT_ROUTER, Tags, Target,
        TargetAddress, Transit,
    },
};

/// What sites are to the rest of the configuration.
#[derive(Debug, Default)]
pub(super) struct Remote {
    /// The links, without faults of their own.
    pub backbone: Option<Backbone>,
    /// The network of each site.
    pub networks: BTreeMap<Name, Network>,
    /// The services of sites, by `SITE/SERVICE`.
    pub services: BTreeMap<Name, Service>,
    /// Services with a fault: endpoints may name them even so.
    pub named: BTreeSet<Name>,
}

/// Validates the one table of the backbone, and all sites.
pub(super) fn validate(
    backbones: Vec<Located<raw::Backbone>>,
    sites: BTreeMap<Name, Located<raw::Site>>,
    report: &mut Report,
) -> Remote {
    let mut backbones = backbones.into_iter();
    let Some(first) = backbones.next() else {
        if let Some(site) = sites.values().next() {
            report.push(
                Fault::new("there is a [[site]], and no file has a [backbone] table")
                    .at(site.at)
                    .help("add `[backbone]` with `site = \"site-a\"`, the name of this site"),
            );
        }
        // What the sites define is known even so, so that no other fault follows.
        return Remote { named: named(&sites), ..Remote::default() };
    };
    for other in backbones {
        report.push(
            Fault::new("there are two [backbone] tables")
                .at(other.at)
                .label("another one here")
                .related(first.at, "first one here")
                .help("keep one of the two: a gateway is in one site"),
        );
    }
    let mut remote = Remote { named: named(&sites), ..Remote::default() };
    let raw = first.value;
    let Some(own) = raw.site else { return remote };
    let mut known = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for (name, site) in sites {
        if name == own.value {
            report.push(
                Fault::new(format!("the site `{name}` is this one"))
                    .at(site.at)
                    .related(own.at, "the name of this site")
                    .help("list only the other sites"),
            );
            continue;
        }
        if let Some(site) = self::site(&own.value, &name, site, &mut keys, &mut remote, report) {
            known.insert(name, site);
        }
    }
    let listen = raw.listen.map(|port| port.value);
    let listen = listen.or_else(|| i64::from(Backbone::DEFAULT_LISTEN).try_into().ok());
    let namespace = raw.namespace.map(|namespace| namespace.value);
    let namespace = namespace.or_else(|| Backbone::DEFAULT_NAMESPACE.parse().ok());
    remote.backbone = listen.zip(namespace).map(|(listen, namespace)| Backbone {
        site: own.value,
        listen,
        namespace,
        wireguard: raw.wireguard.value,
        sites: known,
    });
    remote
}

/// The names of all services of sites.
fn named(sites: &BTreeMap<Name, Located<raw::Site>>) -> BTreeSet<Name> {
    let services = sites.iter().flat_map(|(site, raw)| {
        let services = raw.value.service.iter().flat_map(|list| &list.value);
        services.filter_map(|service| Some(service.value.name.as_ref()?.value.at_site(site)))
    });
    services.collect()
}

fn site(
    own: &Name,
    name: &Name,
    raw: Located<raw::Site>,
    keys: &mut BTreeMap<PublicKey, (Name, Location)>,
    remote: &mut Remote,
    report: &mut Report,
) -> Option<Site> {
    let Located { value: raw, at } = raw;
    let public_keys = raw.public_key.map(|list| own_keys(name, list, keys, report));
    let principal = raw.principal.map_or_else(|| name.clone(), |principal| principal.value);
    let interface = match Site::interface(name) {
        Ok(interface) => interface,
        Err(invalid) => {
            report.push(Fault::new(invalid.to_string()).at(at).help(invalid.help()));
            return None;
        }
    };
    let network = Network {
        name: name.clone(),
        principal: principal.clone(),
        attachment: Attachment { interface, vlan: None },
        mode: AttachMode::Auto,
        subnets: vec![Transit { of: own, toward: name }.net()],
        reachable_from: vec![Transit { of: name, toward: own }.net()],
        gateways: vec![TRANSIT_ROUTER],
        host: None,
        taken_from_host: Vec::new(),
        publishers: Vec::new(),
        dns: false,
        dns_proven: false,
        dns_accept: None,
        forwarders: Vec::new(),
        dns_rate: Network::DEFAULT_DNS_RATE,
    };
    remote.networks.insert(name.clone(), network);
    let services = raw.service.map_or_else(List::new, |list| list.value);
    let services = services_of((own, name, &principal), services, remote, report);
    let keepalive = raw.keepalive.map(|keepalive| keepalive.value);
    let address = raw.address.map(|address| address.value);
    Some(Site {
        name: name.clone(),
        public_keys: public_keys?,
        address,
        keepalive: keepalive.or(address.map(|_| Site::DEFAULT_KEEPALIVE)),
        services,
    })
}

/// The keys of a site; a key is one site's alone, since it says who has sent a packet.
fn own_keys(
    site: &Name,
    list: Located<OneOrMore<PublicKey>>,
    keys: &mut BTreeMap<PublicKey, (Name, Location)>,
    report: &mut Report,
) -> Vec<PublicKey> {
    let most = Site::MOST_KEYS;
    if list.value.0.len() > most {
        report.push(
            Fault::new(format!("`public_key` lists {} keys", list.value.0.len()))
                .at(list.at)
                .help(format!("list at most {most}: the present key, and the next")),
        );
    }
    let mut all = Vec::new();
    for Located { value: key, at } in list.value.0 {
        match keys.get(&key) {
            Some((other, first)) => report.push(
                Fault::new(format!("the sites `{other}` and `{site}` have the same public key"))
                    .at(at)
                    .related(*first, "first listed here")
                    .help("write each key once, at the site whose it is"),
            ),
            None => drop(keys.insert(key, (site.clone(), at))),
        }
        all.push(key);
    }
    all
}

/// Adds the services of one site; returns their names there.
fn services_of(
    (own, site, principal): (&Name, &Name, &Name),
    list: List<raw::SiteService>,
    remote: &mut Remote,
    report: &mut Report,
) -> Vec<Name> {
    let mut places: BTreeMap<Name, Location> = BTreeMap::new();
    for Located { value: raw, at } in list {
        let Some(Located { value: name, at: named }) = raw.name.clone() else { continue };
        if let Some(first) = places.get(&name) {
            report.push(
                Fault::new(format!("the site `{site}` has the service `{name}` twice"))
                    .at(named)
                    .related(*first, "first defined here")
                    .help("remove one of the two"),
            );
            continue;
        }
        places.insert(name.clone(), named);
        let allow = raw.allow.as_ref().map(|list| principals("allow", &list.value.0, report));
        let listeners = listeners(&raw, at, report);
        if let (Some(allow), Some(listeners)) = (allow, listeners) {
            let private_dns = raw.private_dns.value.into_iter().map(|one| one.value).collect();
            let service = Service {
                principal: principal.clone(),
                private_dns,
                ..service((own, site, &name), allow, listeners)
            };
            remote.services.insert(service.name.clone(), service);
        }
    }
    places.into_keys().collect()
}

/// Where a service of another site is offered here: on the ports that it has there.
fn listeners(raw: &raw::SiteService, at: Location, report: &mut Report) -> Option<Vec<Listener>> {
    let mut listeners = Vec::new();
    let lists = [(Protocol::Tcp, &raw.tcp), (Protocol::Udp, &raw.udp)];
    for (protocol, list) in lists {
        let mut seen: Vec<Located<PortRange>> = Vec::new();
        for ports in list.iter().flat_map(|list| &list.value.0) {
            if let Some(first) = seen.iter().find(|one| one.value.overlaps(ports.value)) {
                report.push(
                    Fault::new(format!("{protocol} {} and {} overlap", first.value, ports.value))
                        .at(ports.at)
                        .related(first.at, "the other ports")
                        .help("list each port once"),
                );
            }
            seen.push(ports.clone());
            listeners.push(Listener {
                protocol,
                ports: ports.value,
                target_ports: ports.value,
                target: None,
                groups: BTreeMap::new(),
                idle_timeout: Listener::default_idle_timeout(protocol),
            });
        }
    }
    if listeners.is_empty() {
        report.push(
            Fault::new("[[site.service]] has neither `tcp` nor `udp` ports")
                .at(at)
                .help("add `tcp = [443]`, with the ports of the service at its site"),
        );
        return None;
    }
    Some(listeners)
}

/// A service whose one target is where the other site offers it to this one.
///
/// The other site's gateway decides about the connection, checks its targets and gives its names.
fn service(
    (own, site, name): (&Name, &Name, &Name),
    allow: Principals,
    listeners: Vec<Listener>,
) -> Service {
    let there = Transit { of: site, toward: own }.service(name);
    Service {
        name: name.at_site(site),
        description: None,
        tags: Tags::default(),
        principal: site.clone(),
        network: site.clone(),
        acceptance: AcceptancePolicy::Automatic,
        allow,
        accept: Principals::Only(BTreeSet::new()),
        request_expiry: None,
        on_disallow: OnDisallow::Cut,
        source_addresses: Transit { of: own, toward: site }.sources(),
        private_dns: Vec::new(),
        dns_unhealthy: DnsUnhealthy::Keep,
        on_reject: OnReject::Reset,
        on_pending: OnPending::Reset,
        fail_open: false,
        on_unhealthy: OnUnhealthy::Keep,
        stickiness: Stickiness::None,
        drain: Service::DEFAULT_DRAIN,
        listeners,
        targets: vec![Target {
            address: TargetAddress::Ip(IpAddr::V6(there)),
            weight: Target::DEFAULT_WEIGHT,
            port: None,
            group: None,
        }],
        targets_file: None,
        resolvers: Vec::new(),
        health_check: None,
    }
}

impl Remote {
    /// Adds the networks of sites to those of interfaces, with which they share one space of names,
    /// and the services of sites to those of files.
    pub fn join(
        &mut self,
        scope: &mut Scope,
        places: &BTreeMap<Name, Location>,
        report: &mut Report,
    ) {
        let Scope { networks, services, attached, .. } = scope;
        services.add(std::mem::take(&mut self.named));
        for (name, network) in std::mem::take(&mut self.networks) {
            let at = places.get(&name);
            let other = attached.values().find(|other| other.attachment == network.attachment);
            let fault = match (attached.contains_key(&name), other) {
                (true, _) => Some(format!("the site `{name}` has the name of a network")),
                (false, Some(other)) => Some(format!(
                    "the network `{}` is on {}, which is that of the site `{name}`",
                    other.name, network.attachment
                )),
                (false, None) => None,
            };
            if let Some(fault) = fault {
                let fault = Fault::new(fault).help("rename one of the two: a site is a network");
                report.push(match at {
                    Some(at) => fault.at(*at),
                    None => fault,
                });
                continue;
            }
            networks.add([name.clone()]);
            attached.insert(name, network);
        }
    }
}

/// The addresses of an endpoint in the network of a site: they follow from its service. `None` if
/// the network is no site's.
pub(super) fn endpoint_addresses(
    backbone: Option<&Backbone>,
    endpoint: &Name,
    (network, service): (&Name, &Located<Name>),
    addresses: &Located<raw::Addresses>,
    report: &mut Report,
) -> Option<AddressPair> {
    let backbone = backbone?;
    backbone.site_of(network)?;
    if let raw::Addresses::List(_) = addresses.value {
        report.push(
            Fault::new(format!("`{endpoint}` is in the network of the site `{network}`"))
                .at(addresses.at)
                .help("remove `addresses`: both sites compute them from their names"),
        );
    }
    if service.value.site_and_service().is_some() {
        report.push(
            Fault::new(format!(
                "`{endpoint}` would lead from the site `{network}` to another site"
            ))
            .at(service.at)
            .help("sites reach each other's own services only: link those two directly"),
        );
    }
    Some(Transit { of: &backbone.site, toward: network }.endpoint(&service.value))
}

/// Reports a service that a site would get from two endpoints, which would have one address.
pub(super) fn once_per_site(
    backbone: Option<&Backbone>,
    endpoints: &BTreeMap<Name, Endpoint>,
    places: &BTreeMap<Name, Location>,
    report: &mut Report,
) {
    let Some(backbone) = backbone else { return };
    let mut first: BTreeMap<(&Name, &Name), &Name> = BTreeMap::new();
    for endpoint in endpoints.values().filter(|one| backbone.site_of(&one.network).is_some()) {
        let Some(other) = first.insert((&endpoint.network, &endpoint.service), &endpoint.name)
        else {
            continue;
        };
        let fault = Fault::new(format!(
            "the endpoints `{other}` and `{}` both give the site `{}` the service `{}`",
            endpoint.name, endpoint.network, endpoint.service
        ))
        .help("remove one of the two");
        report.push(match places.get(&endpoint.name) {
            Some(at) => fault.at(*at),
            None => fault,
        });
    }
}
