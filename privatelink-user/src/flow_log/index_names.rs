//! What the indices in the kernel's records are called.

use std::collections::BTreeMap;

use crate::{model::Model, state::ids::Ids};

/// The names behind an endpoint's index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointNames {
    /// The endpoint.
    pub endpoint: String,
    /// Its service.
    pub service: String,
    /// Its network.
    pub network: String,
    /// The consumer.
    pub principal: String,
    /// The provider.
    pub provider: String,
    /// The provider's network.
    pub provider_network: String,
}

/// The names of all endpoints, and of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexNames {
    /// The gateway's.
    pub gateway: String,
    endpoints: BTreeMap<u32, EndpointNames>,
}

impl IndexNames {
    /// Takes over the names of a configuration. Those of endpoints that are gone stay until
    /// another gets the index, since their flows are still to end.
    pub fn update(&mut self, model: &Model, ids: &Ids) {
        self.gateway = model.gateway().name.to_string();
        for (name, endpoint) in model.endpoints() {
            let network = model.networks().get(&endpoint.network);
            let service = model.services().get(&endpoint.service);
            let (Some(index), Some(network), Some(service)) =
                (ids.endpoint(endpoint), network, service)
            else {
                continue;
            };
            let names = EndpointNames {
                endpoint: name.to_string(),
                service: endpoint.service.to_string(),
                network: endpoint.network.to_string(),
                principal: network.principal.to_string(),
                provider: service.principal.to_string(),
                provider_network: service.network.to_string(),
            };
            self.endpoints.insert(index, names);
        }
    }

    /// The names behind the index of an endpoint.
    pub fn endpoint(&self, index: u32) -> Option<&EndpointNames> {
        self.endpoints.get(&index)
    }
}
