//! The names behind the indices in the kernel's records.

use std::collections::BTreeMap;

use crate::{
    model::{Endpoint, Model},
    state::ids::Ids,
};

/// The names behind an endpoint's index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointNames {
    /// The endpoint's name.
    pub endpoint: String,
    /// The service's name.
    pub service: String,
    /// The consumer's network.
    pub network: String,
    /// The consumer's principal.
    pub principal: String,
    /// The provider's principal.
    pub provider: String,
    /// The provider's network.
    pub provider_network: String,
}

/// The names of all endpoints, and of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexNames {
    /// The gateway's name.
    pub gateway: String,
    endpoints: BTreeMap<u32, EndpointNames>,
}

impl IndexNames {
    /// Loads the names of a configuration. The names of a removed endpoint stay until its index
    /// is reused, because its flows have yet to end.
    pub fn update(&mut self, model: &Model, ids: &Ids) {
        self.gateway = model.gateway().name.to_string();
        for endpoint in model.endpoints().values() {
            self.add(model, ids, endpoint);
        }
    }

    /// Loads the names of one endpoint.
    pub fn add(&mut self, model: &Model, ids: &Ids, endpoint: &Endpoint) {
        let network = model.networks().get(&endpoint.network);
        let service = model.services().get(&endpoint.service);
        if let (Some(index), Some(network), Some(service)) =
            (ids.endpoint(endpoint), network, service)
        {
            let names = EndpointNames {
                endpoint: endpoint.name.to_string(),
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
