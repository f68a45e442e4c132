//! What the daemon tells about itself.

use std::collections::BTreeMap;

use privatelink_common::{Admission, EndpointCounters, Reason};

use crate::{
    api::types,
    bpf::Mode,
    desired::{admission, next_hop},
    host::HostFacts,
    ids::{Ids, addresses},
    model::{self, AddressPair, EndpointAddresses, Model},
};

/// What the pieces of a status are made of.
pub struct View<'a> {
    /// The configuration in force.
    pub model: &'a Model,
    /// The indices of what is in it.
    pub ids: &'a Ids,
    /// The host.
    pub facts: &'a HostFacts,
    /// Where packets are forwarded, by interface index.
    pub attached: &'a BTreeMap<u32, Mode>,
}

impl View<'_> {
    /// The networks with their attachments.
    pub fn networks(&self) -> Vec<types::Network> {
        let one = |network: &model::Network| {
            let link = self.facts.link(network.attachment.interface.as_str());
            let mode = link.and_then(|link| self.attached.get(&link.index));
            types::Network {
                name: network.name.to_string(),
                interface: network.attachment.interface.to_string(),
                ifindex: link.map(|link| link.index),
                xdp_mode: mode.map(|mode| mode.name().to_owned()),
                mtu: link.map(|link| link.mtu),
            }
        };
        self.model.networks().values().map(one).collect()
    }

    /// The services with their targets.
    pub fn services(&self) -> Vec<types::Service> {
        let one = |service: &model::Service| types::Service {
            name: service.name.to_string(),
            principal: service.principal.to_string(),
            network: service.network.to_string(),
            listeners: service
                .listeners
                .iter()
                .map(|listener| format!("{}/{}", listener.protocol, listener.ports))
                .collect(),
            targets: self.targets(service),
        };
        self.model.services().values().map(one).collect()
    }

    fn targets(&self, service: &model::Service) -> Vec<types::Target> {
        let network = self.model.networks().get(&service.network);
        let link =
            network.and_then(|network| self.facts.link(network.attachment.interface.as_str()));
        let target = |(address, target): (_, &model::Target)| {
            let hop = network.and_then(|network| next_hop(network, address));
            let neighbour = link.zip(hop).and_then(|(l, hop)| self.facts.neighbour(l.index, hop));
            types::Target {
                address: address.to_string(),
                weight: target.weight.get(),
                next_hop: hop.map(|hop| hop.to_string()),
                mac: neighbour.map(|neighbour| mac(neighbour.mac)),
            }
        };
        addresses(service).map(target).collect()
    }

    /// The endpoints, with how many flows go through each and what was counted.
    pub fn endpoints(
        &self,
        flows: &BTreeMap<u32, u64>,
        counters: impl Fn(u32) -> EndpointCounters,
    ) -> Vec<types::Endpoint> {
        let one = |endpoint: &model::Endpoint| {
            let index = self.ids.endpoint(endpoint);
            let counted = index.map(&counters).unwrap_or_default();
            types::Endpoint {
                name: endpoint.name.to_string(),
                service: endpoint.service.to_string(),
                network: endpoint.network.to_string(),
                addresses: fixed(endpoint)
                    .map(|pair| pair.iter().map(|address| address.to_string()).collect())
                    .unwrap_or_default(),
                state: state(admission(self.model, endpoint)).to_owned(),
                dns_names: Vec::new(),
                active_flows: index.and_then(|index| flows.get(&index).copied()).unwrap_or(0),
                new_flows: counted.new_flows,
                packets_in: counted.packets_in,
                bytes_in: counted.bytes_in,
                packets_out: counted.packets_out,
                bytes_out: counted.bytes_out,
                drops: counted.drops,
            }
        };
        self.model.endpoints().values().map(one).collect()
    }

    /// What does not work for want of something on the host.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for network in self.model.networks().values() {
            let interface = network.attachment.interface.as_str();
            match self.facts.link(interface) {
                None => problems.push(format!(
                    "network {}: there is no interface {interface}; it is used once it appears",
                    network.name
                )),
                Some(link) if link.mac.is_none() => problems.push(format!(
                    "network {}: {interface} is no Ethernet interface",
                    network.name
                )),
                Some(link) if !link.up => problems.push(format!(
                    "network {}: {interface} is down; set it up with `ip link set {interface} up`",
                    network.name
                )),
                Some(_) => {}
            }
        }
        for service in self.model.services().values() {
            problems.extend(self.targets(service).into_iter().filter_map(|target| {
                let (name, address) = (&service.name, &target.address);
                match (&target.next_hop, &target.mac) {
                    (None, _) => Some(format!(
                        "service {name}: target {address} is in no subnet of network {}; add \
                         `gateway` to the network",
                        service.network
                    )),
                    (Some(hop), None) => Some(format!(
                        "service {name}: nobody answers for {hop}, next hop to target {address}"
                    )),
                    (Some(_), Some(_)) => None,
                }
            }));
        }
        problems
    }
}

/// The counts under the reasons' names.
pub fn drops(counts: Vec<(Reason, u64)>) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(reason, count)| (reason.name().to_owned(), count)).collect()
}

/// The word for a state, as in lists and in the configuration's documentation.
pub fn state(admission: Admission) -> &'static str {
    match admission {
        Admission::Available => "available",
        Admission::Pending => "pending-acceptance",
        Admission::Rejected | Admission::Absent | Admission::Draining => "rejected",
        Admission::Expired => "expired",
    }
}

fn fixed(endpoint: &model::Endpoint) -> Option<AddressPair> {
    match endpoint.addresses {
        EndpointAddresses::Fixed(pair) => Some(pair),
        EndpointAddresses::Auto => None,
    }
}

fn mac(mac: privatelink_common::Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, host::Link};

    #[test]
    fn what_is_missing_is_said() {
        let text = include_str!("../../examples/quickstart.toml");
        let model = config::from_text("test.toml", text).unwrap().model;
        let mut ids = Ids::default();
        ids.assign(&model).unwrap();
        let mut facts = HostFacts::default();
        facts.insert_link(Link {
            index: 3,
            name: "veth-vendor".into(),
            mac: Some([2; 6]),
            mtu: 1500,
            up: false,
            allmulti: false,
        });
        let attached = BTreeMap::from([(3, Mode::Generic)]);
        let view = View { model: &model, ids: &ids, facts: &facts, attached: &attached };
        let modes: Vec<_> = view.networks().into_iter().map(|network| network.xdp_mode).collect();
        assert_eq!(modes, [None, Some("generic".to_owned())]);
        let problems = view.problems();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[0].contains("there is no interface veth-acme"), "{problems:?}");
        assert!(problems[1].contains("veth-vendor is down"), "{problems:?}");
        assert!(problems[3].contains("nobody answers for fd00::10"), "{problems:?}");
        let endpoint = view.endpoints(&BTreeMap::from([(1, 7)]), |_| EndpointCounters::default());
        assert_eq!((endpoint[0].state.as_str(), endpoint[0].active_flows), ("available", 7));
    }
}
