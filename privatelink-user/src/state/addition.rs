//! What endpoints that are added need of the state, found without a look at everything that stays as
//! it is.

use std::collections::BTreeMap;

use super::{
    addresses::Addresses,
    connection::{Connection, Connections, Parties, rules_of},
    kept::State,
};
use crate::{
    host::HostFacts,
    model::{Endpoint, EndpointAddresses, Model},
    timestamp::Timestamp,
};

/// What is to be kept of endpoints that are added.
#[derive(Clone, Debug)]
pub struct Addition {
    /// All indices, and of everything else only what is theirs.
    pub part: State,
    /// Those of their indices that belonged to other endpoints before.
    pub reused: Vec<u32>,
}

impl State {
    /// What [`Self::follow`] would add for these endpoints, which are not in the model yet; `None`
    /// where it might change something else as well, or would refuse them.
    pub fn adding(
        &self,
        model: &Model,
        endpoints: &[Endpoint],
        facts: &HostFacts,
        now: Timestamp,
    ) -> Option<Addition> {
        let ids = self.ids.adding(endpoints).ok()?;
        let reused = endpoints.iter().filter_map(|endpoint| ids.endpoint(endpoint));
        let reused = reused.filter(|index| self.ids.has_assigned(*index)).collect();
        let addresses = self.leases(model, endpoints, facts)?;
        let mut connections = Connections::new();
        for endpoint in endpoints {
            let ((_, rules), parties) = (rules_of(model, endpoint)?, Parties::of(model, endpoint)?);
            let message = endpoint.message.as_ref();
            let connection = Connection::requested(parties, message, &rules, now);
            connections.insert(endpoint.name.clone(), connection);
        }
        let is_known = |endpoint: &Endpoint| self.connections.contains_key(&endpoint.name);
        if endpoints.iter().any(is_known) {
            return None;
        }
        Some(Addition { part: Self { ids, addresses, connections, ..Self::default() }, reused })
    }

    /// The addresses of those endpoints that leave the choice to the gateway.
    fn leases(
        &self,
        model: &Model,
        endpoints: &[Endpoint],
        facts: &HostFacts,
    ) -> Option<Addresses> {
        let mut wanting: BTreeMap<_, Vec<&Endpoint>> = BTreeMap::new();
        for endpoint in endpoints {
            match endpoint.addresses {
                EndpointAddresses::Auto => {
                    wanting.entry(&endpoint.network).or_default().push(endpoint);
                }
                EndpointAddresses::Fixed(pair) => {
                    let mut fixed = pair.iter();
                    // The endpoint that was given it would have to move.
                    if fixed.any(|address| self.addresses.is_leased(&endpoint.network, address)) {
                        return None;
                    }
                }
            }
        }
        let mut all = Addresses::default();
        for (network, wanting) in wanting {
            let network = model.networks().get(network)?;
            let given = self.addresses.adding(model, endpoints, network, &wanting, facts)?;
            all.leases.extend(given.leases);
            all.latest.extend(given.latest);
        }
        Some(all)
    }
}
