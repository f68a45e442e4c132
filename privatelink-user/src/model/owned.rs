//! How much principals have.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    endpoint::Endpoint,
    name::Name,
    network::Network,
    service::{Service, TargetAddress},
};

/// How much a principal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owned {
    /// Services.
    pub services: u64,
    /// Endpoints in its networks.
    pub endpoints: u64,
    /// Targets of its services that the configuration lists.
    pub targets: u64,
}

/// How much each principal has that has anything.
pub fn owned<'a>(
    networks: &'a BTreeMap<Name, Network>,
    services: &'a BTreeMap<Name, Service>,
    endpoints: &'a BTreeMap<Name, Endpoint>,
) -> BTreeMap<&'a Name, Owned> {
    let mut all: BTreeMap<&Name, Owned> = BTreeMap::new();
    for service in services.values() {
        let owned = all.entry(&service.principal).or_default();
        owned.services += 1;
        owned.targets += targets(service);
    }
    for endpoint in endpoints.values() {
        if let Some(network) = networks.get(&endpoint.network) {
            all.entry(&network.principal).or_default().endpoints += 1;
        }
    }
    all
}

/// The targets that the configuration lists of a service, each once.
pub fn targets(service: &Service) -> u64 {
    let shared = service.targets.iter().map(|target| &target.address);
    let own = service.listeners.iter().filter_map(|listener| listener.target.as_ref());
    let all: BTreeSet<&TargetAddress> = shared.chain(own).collect();
    all.len() as u64
}
