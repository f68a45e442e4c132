//! The records that the indices in a flow refer to.

use std::{collections::BTreeMap, net::IpAddr};

use privatelink_common::{Endpoint, Source, Target, flow};

use super::tables::MapTables;

/// The records that flows refer to, by index.
#[derive(Clone, Debug, Default)]
pub struct FlowRecords {
    /// Endpoints, for the address that the client used.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Source addresses, which the target sees.
    pub sources: BTreeMap<u32, Source>,
    /// Targets, for the address that the flow was forwarded to.
    pub targets: BTreeMap<u32, Target>,
}

impl FlowRecords {
    /// The records in the maps.
    pub fn of(tables: &MapTables) -> Self {
        Self {
            endpoints: tables.endpoints.clone(),
            sources: tables.sources.clone(),
            targets: tables.targets.clone(),
        }
    }

    /// Client, endpoint address, source address and target of a flow, as far as they are known.
    pub fn ends(&self, flow: &flow::Flow) -> [(Option<IpAddr>, u16); 4] {
        let endpoint = self.endpoints.get(&flow.endpoint()).map(|endpoint| {
            if flow.client.is_v4() {
                IpAddr::from(endpoint.v4.to_ne_bytes())
            } else {
                endpoint.v6.to_ip()
            }
        });
        let source = self.sources.get(&u32::from(flow.source)).map(|source| source.address.to_ip());
        let target = self.targets.get(&flow.target()).map(|target| target.address.to_ip());
        let [client_port, listener_port] = flow.consumer_port_pair();
        let [target_port, source_port] = flow.provider_port_pair();
        [
            (Some(flow.client.to_ip()), client_port),
            (endpoint, listener_port),
            (source, source_port),
            (target, target_port),
        ]
    }
}
