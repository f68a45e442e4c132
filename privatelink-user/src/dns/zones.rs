//! Computes each network's zones from configuration, state, host, health and time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use privatelink_common::Admission;

use super::record::{Data, Record, ServedNames, Zone};
use crate::{
    host::{HostFacts, is_link_local},
    model::{self, DnsUnhealthy, Model, Name, Service, naming, seconds},
    state::{
        State,
        connection::rules_of,
        targets::{self, Health, Inputs},
    },
    timestamp::Timestamp,
};

/// The top-level domain for private use. Public DNS does not have it, so a name that the gateway
/// does not find there does not exist, unless the network has name servers of its own.
pub const PRIVATE_USE: &str = "internal";

/// Computes the names of each network with `dns = true`.
pub fn zones(
    model: &Model,
    state: &State,
    facts: &HostFacts,
    inputs: &Inputs,
    now: Timestamp,
) -> BTreeMap<Name, ServedNames> {
    let mut endpoints: BTreeMap<&Name, Vec<&model::Endpoint>> = BTreeMap::new();
    for endpoint in model.endpoints().values() {
        endpoints.entry(&endpoint.network).or_default().push(endpoint);
    }
    let networks = model.networks().values().filter(|network| network.dns);
    let view = ZoneBuilder { model, state, facts, inputs, now };
    networks
        .map(|network| {
            let own = endpoints.get(&network.name).map_or(&[][..], Vec::as_slice);
            (network.name.clone(), view.network(network, own))
        })
        .collect()
}

struct ZoneBuilder<'a> {
    model: &'a Model,
    state: &'a State,
    facts: &'a HostFacts,
    inputs: &'a Inputs,
    now: Timestamp,
}

impl ZoneBuilder<'_> {
    fn network(&self, network: &model::Network, endpoints: &[&model::Endpoint]) -> ServedNames {
        let gateway = self.model.gateway();
        let own = self.own_addresses(network);
        let mut zones = Zones::default();
        if network.forwarders.is_empty() {
            zones.open(PRIVATE_USE);
        }
        zones.open(gateway.domain.as_str());
        let server = naming::server(&gateway.domain);
        for address in &own {
            zones.add(gateway.domain.as_str(), &server, Data::from(*address));
        }
        let mut providers = BTreeMap::new();
        for endpoint in endpoints {
            let Some(service) = self.model.services().get(&endpoint.service) else { continue };
            let private = naming::private(network, service, endpoint);
            // The gateway is authoritative for an accepted name even while it has no records:
            // another name server must not send clients elsewhere in the meantime.
            for name in &private {
                zones.open(name.base().as_str());
                providers.insert(name.base().to_string(), service.principal.to_string());
            }
            let withdrawn =
                service.dns_unhealthy == DnsUnhealthy::Withdraw && self.is_unhealthy(service);
            if self.is_available(endpoint) && !withdrawn {
                self.endpoint(endpoint, service, &private, &mut zones);
            }
        }
        let loops = |forwarder: &IpAddr| own.contains(forwarder);
        ServedNames {
            interface: self
                .facts
                .stack(&network.attachment)
                .map_or_else(|| network.attachment.interface.to_string(), |link| link.name.clone()),
            server,
            ttl: seconds(gateway.dns_ttl.get()),
            zones: zones.finish(),
            forwarders: network.forwarders.iter().copied().filter(|one| !loops(one)).collect(),
            rate: network.dns_rate.get(),
            resolver: gateway.dns_proof,
            providers,
        }
    }

    fn own_addresses(&self, network: &model::Network) -> BTreeSet<IpAddr> {
        let link = self.facts.stack(&network.attachment);
        let addresses = link.into_iter().flat_map(|link| self.facts.own_addresses(link.index));
        addresses.filter(|address| !is_link_local(*address)).collect()
    }

    fn is_available(&self, endpoint: &model::Endpoint) -> bool {
        let connection = self.state.connections.get(&endpoint.name);
        connection.zip(rules_of(self.model, endpoint)).is_some_and(|(connection, (_, rules))| {
            connection.admission(&rules, self.now) == Admission::Available
        })
    }

    /// Whether every target is unhealthy. A target that has not been checked yet may be healthy.
    fn is_unhealthy(&self, service: &Service) -> bool {
        let mut targets: BTreeMap<IpAddr, bool> =
            targets::addresses(service, self.inputs).into_keys().map(|one| (one, false)).collect();
        let known = self.inputs.health.iter().filter(|(key, _)| key.service == service.name);
        for (key, condition) in known {
            if let Some(failed) = targets.get_mut(&key.address) {
                *failed |= condition.health == Health::Unhealthy;
            }
        }
        service.health_check.is_some() && targets.values().all(|failed| *failed)
    }

    fn endpoint(
        &self,
        endpoint: &model::Endpoint,
        service: &Service,
        private: &BTreeSet<model::DnsPattern>,
        zones: &mut Zones,
    ) {
        let gateway = self.model.gateway();
        let Some(addresses) = self.state.addresses.of(endpoint) else { return };
        let addresses: Vec<IpAddr> = addresses.iter().collect();
        let domain = gateway.domain.as_str();
        if let Ok([own, zonal]) = naming::generated(gateway, endpoint) {
            for name in [&own, &zonal] {
                zones.host(domain, name, &addresses, service);
            }
            zones.listeners(domain, &own, service);
            for address in &addresses {
                let name = reverse(*address);
                zones.add(&name, &name, Data::Ptr(own.clone()));
            }
        }
        for pattern in private {
            let (apex, name) = (pattern.base().as_str(), pattern.to_string());
            zones.host(apex, &name, &addresses, service);
            if !pattern.is_wildcard() {
                zones.listeners(apex, &name, service);
            }
        }
    }
}

/// Zones under construction.
#[derive(Default)]
struct Zones(BTreeMap<String, BTreeSet<Record>>);

impl Zones {
    fn open(&mut self, apex: &str) -> &mut BTreeSet<Record> {
        self.0.entry(apex.to_owned()).or_default()
    }

    fn add(&mut self, apex: &str, name: &str, data: Data) {
        self.open(apex).insert(Record { name: name.to_owned(), data });
    }

    fn host(&mut self, apex: &str, name: &str, addresses: &[IpAddr], service: &Service) {
        for address in addresses {
            self.add(apex, name, Data::from(*address));
        }
        self.add(apex, name, Data::Txt(format!("service={}", service.name)));
    }

    /// Adds an SRV record for each listener, with its first port.
    fn listeners(&mut self, apex: &str, host: &str, service: &Service) {
        for listener in &service.listeners {
            let name = format!("_{}._{}.{host}", service.name, listener.protocol);
            if naming::fits(&name) {
                let port = listener.ports.first().get();
                self.add(apex, &name, Data::Srv { port, target: host.to_owned() });
            }
        }
    }

    fn finish(self) -> BTreeMap<String, Zone> {
        let zone = |records: BTreeSet<Record>| Zone { records: records.into_iter().collect() };
        self.0.into_iter().map(|(apex, records)| (apex, zone(records))).collect()
    }
}

/// The name for reverse lookups of an address.
pub fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let nibbles = octets.iter().rev().flat_map(|octet| [octet & 0xf, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}
