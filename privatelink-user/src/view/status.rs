//! What the daemon reports about itself.

mod catalogue;
mod principals;
mod reasons;
mod recent;
mod shortage;
mod targets;
mod unserved;

use std::collections::{BTreeMap, BTreeSet};

use privatelink_common::{EndpointCounters, Reason};

use crate::{
    access::Rights,
    config::Origins,
    datapath::bpf::Mode,
    desired::share::{self, SourcePorts},
    host::{HostFacts, is_link_local},
    interface::types,
    model::{self, AttachMode, Model, naming},
    state::{
        State,
        connection::Acceptance,
        objects::{Kind, ObjectName},
        targets::Inputs,
    },
    timestamp::Moment,
    view::flows::FlowCounts,
};

pub use reasons::{notices, reasons};
pub use recent::Recent;
pub use shortage::shortages;
pub use targets::UNREACHABLE;
pub use unserved::Unserved;

/// Everything that the parts of a status are computed from, and whose view they are.
pub struct Overview<'a> {
    /// The configuration in force.
    pub model: &'a Model,
    /// The state that goes with it: ids, addresses, decisions.
    pub state: &'a State,
    /// The rights of the caller; what it may not see is left out.
    pub rights: &'a Rights,
    /// The interfaces and neighbours of the host.
    pub facts: &'a HostFacts,
    /// What is known about targets.
    pub inputs: &'a Inputs,
    /// The interfaces on which packets are forwarded, by index.
    pub attached: &'a BTreeMap<u32, Mode>,
    /// The present time.
    pub at: Moment,
    /// The number of live flows.
    pub flows: &'a FlowCounts,
    /// Where objects are declared.
    pub origins: &'a Origins,
}

/// Why packets of an interface, of a kind if the kernel makes it in software, are carried where they
/// are.
fn mode_reason(written: AttachMode, kind: Option<&str>, mode: Mode) -> String {
    if written != AttachMode::Auto {
        return "the configuration says so".to_owned();
    }
    match (mode, kind) {
        (Mode::Tc, Some(kind)) => format!(
            "a {kind} has frames that are cut, and checksums that are completed, only where they \
             leave the host"
        ),
        (Mode::Tc, None) => {
            "the driver has no XDP, or packets go on to an interface that takes none \
             from XDP"
                .to_owned()
        }
        (Mode::Native, None) => "the driver has XDP".to_owned(),
        (Mode::Native | Mode::Generic, Some(_)) => {
            "the kernel is older than Linux 6.6, and cannot attach by tc".to_owned()
        }
        (Mode::Generic, None) => {
            "the driver has no XDP, and the kernel, older than Linux 6.6, cannot attach by tc"
                .to_owned()
        }
    }
}

impl Overview<'_> {
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
                mode_reason: link.zip(mode).map(|(link, mode)| {
                    mode_reason(network.mode, self.facts.kind(link.index), *mode)
                }),
                mtu: link.map(|link| link.mtu),
                principal: network.principal.to_string(),
                subnets: network.subnets.iter().map(ToString::to_string).collect(),
                mac: link.and_then(|link| link.mac).map(mac),
            }
        };
        let networks = self.model.networks().values();
        networks.filter(|network| self.rights.see_network(network)).map(one).collect()
    }

    /// The services with their targets.
    pub fn services(&self) -> Vec<types::Service> {
        let mut endpoints: BTreeMap<&model::Name, Vec<&model::Endpoint>> = BTreeMap::new();
        for endpoint in self.seen_endpoints() {
            endpoints.entry(&endpoint.service).or_default().push(endpoint);
        }
        let none = Vec::new();
        let one = |service: &model::Service| {
            let endpoints = endpoints.get(&service.name).unwrap_or(&none);
            types::Service {
                name: service.name.to_string(),
                principal: service.principal.to_string(),
                network: service.network.to_string(),
                listeners: listeners(service),
                targets: self.targets(service),
                acceptance: service.acceptance.to_string(),
                allow: service.allow.words(),
                accept: service.accept.words(),
                source_addresses: words(&service.source_addresses),
                endpoints: endpoints.iter().map(|endpoint| endpoint.name.to_string()).collect(),
                active_flows: endpoints.iter().map(|endpoint| self.flows_through(endpoint)).sum(),
                description: service.description.as_ref().map(ToString::to_string),
                tags: service.tags.all().clone(),
                source: self.source(Kind::Service, &service.name),
                definition: None,
            }
        };
        self.seen_services().map(one).collect()
    }

    /// The targets of all services.
    pub fn all_targets(&self) -> Vec<types::Target> {
        self.seen_services().flat_map(|service| self.targets(service)).collect()
    }

    /// The principals that own something and may be seen.
    pub fn principals(&self) -> BTreeSet<&model::Name> {
        let networks = self.model.networks().values().map(|network| &network.principal);
        let services = self.model.services().values().map(|service| &service.principal);
        let all = networks.chain(services);
        all.filter(|principal| self.rights.include(principal)).collect()
    }

    fn seen_services(&self) -> impl Iterator<Item = &model::Service> {
        self.model.services().values().filter(|service| self.rights.see_service(service))
    }

    /// The endpoints that may be seen.
    pub fn seen_endpoints(&self) -> impl Iterator<Item = &model::Endpoint> {
        let endpoints = self.model.endpoints().values();
        endpoints.filter(|endpoint| self.rights.see_endpoint(self.model, endpoint))
    }

    /// How many live flows go through an endpoint.
    pub fn flows_through(&self, endpoint: &model::Endpoint) -> u64 {
        let index = self.state.ids.endpoint(endpoint);
        index.and_then(|index| self.flows.endpoints.get(&index).copied()).unwrap_or(0)
    }

    /// The endpoints; `counters` returns what was counted under an index, and the drops. `ports` are the
    /// source ports that they have, by index and table of blocks.
    pub fn endpoints(
        &self,
        counters: impl Fn(u32) -> (EndpointCounters, u64),
        ports: &BTreeMap<(u32, u32), u64>,
    ) -> Vec<types::Endpoint> {
        let shares = share::of_endpoints(self.model, &self.state.ids);
        let pools = share::port_pools(self.model, &self.state.ids, &shares);
        let one = |endpoint: &model::Endpoint| {
            let index = self.state.ids.endpoint(endpoint);
            let (counted, drops) = index.map(&counters).unwrap_or_default();
            let share = index.and_then(|index| shares.get(&index));
            let flow_share = share.map_or(0, |share| share.flows.into());
            let active_flows = self.flows_through(endpoint);
            let ports = index.map_or_else(SourcePorts::default, |index| {
                SourcePorts::of(index, pools.get(&index).map_or(&[], Vec::as_slice), ports)
            });
            types::Endpoint {
                name: endpoint.name.to_string(),
                service: endpoint.service.to_string(),
                network: endpoint.network.to_string(),
                addresses: self
                    .state
                    .addresses
                    .of(endpoint)
                    .map(|pair| pair.iter().map(|address| address.to_string()).collect())
                    .unwrap_or_default(),
                state: self.acceptance(endpoint).word().to_owned(),
                dns_names: self.dns_names(endpoint),
                active_flows,
                flow_share,
                borrowed_flows: active_flows.saturating_sub(flow_share),
                source_ports: ports.used,
                source_port_share: ports.share,
                borrowed_source_ports: ports.borrowed,
                new_flows: counted.new_flows,
                packets_in: counted.packets_in,
                bytes_in: counted.bytes_in,
                packets_out: counted.packets_out,
                bytes_out: counted.bytes_out,
                drops,
                principal: self
                    .model
                    .networks()
                    .get(&endpoint.network)
                    .map(|network| network.principal.to_string())
                    .unwrap_or_default(),
                listeners: self
                    .model
                    .services()
                    .get(&endpoint.service)
                    .map(listeners)
                    .unwrap_or_default(),
                description: endpoint.description.as_ref().map(ToString::to_string),
                tags: endpoint.tags.all().clone(),
                source: self.source(Kind::Endpoint, &endpoint.name),
                definition: None,
            }
        };
        self.seen_endpoints().map(one).collect()
    }

    /// Where an object is declared.
    fn source(&self, kind: Kind, name: &model::Name) -> String {
        let object = ObjectName { kind, name: name.clone() };
        self.origins.find(&object).map(|origin| origin.to_string()).unwrap_or_default()
    }

    /// The names that lead to an endpoint while it is available.
    fn dns_names(&self, endpoint: &model::Endpoint) -> Vec<String> {
        let network = self.model.networks().get(&endpoint.network).filter(|network| network.dns);
        let parts = network.zip(self.model.services().get(&endpoint.service));
        let gateway = self.model.gateway();
        let all = |(network, service)| naming::all(gateway, network, service, endpoint);
        parts.map(all).unwrap_or_default()
    }

    /// The state of an endpoint's connection.
    pub fn acceptance(&self, endpoint: &model::Endpoint) -> Acceptance {
        let connection = self.state.connections.get(&endpoint.name);
        connection.map_or(Acceptance::Pending, |connection| connection.standing.acceptance())
    }

    /// Whether the gateway has an address in a network at which its hosts can send it queries.
    fn has_address(&self, network: &model::Network) -> bool {
        let stack = self.facts.stack(&network.attachment);
        let mut own = stack.into_iter().flat_map(|link| self.facts.own_addresses(link.index));
        own.any(|address| !is_link_local(address))
    }

    fn is_gateway_itself(&self, network: Option<&model::Network>, address: &str) -> bool {
        network.zip(address.parse().ok()).is_some_and(|(network, address)| {
            self.facts.is_gateway_itself(self.model, network, address)
        })
    }

    /// What does not work because the host lacks something.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for network in self.model.networks().values() {
            let interface = network.attachment.interface.as_str();
            match self.facts.link(interface) {
                None => problems.push(format!(
                    "network {}: there is no interface {interface}; forwarding starts once it appears",
                    network.name
                )),
                Some(link) if link.mac.is_none() => problems.push(format!(
                    "network {}: {interface} is not an Ethernet interface",
                    network.name
                )),
                Some(link) if !link.up => problems.push(format!(
                    "network {}: {interface} is down; set it up with `ip link set {interface} up`",
                    network.name
                )),
                Some(link) if network.dns && !self.has_address(network) => {
                    let stack = self.facts.stack(&network.attachment).unwrap_or(link);
                    problems.push(format!(
                        "network {}: names are not served: {} has no address of its own; give it \
                         a free one with `ip address add`",
                        network.name, stack.name
                    ));
                }
                Some(_) => {}
            }
        }
        for service in self.model.services().values() {
            let network = self.model.networks().get(&service.network);
            problems.extend(network.and_then(|network| self.vlan_problem(network)));
            problems.extend(self.health_problem(service));
            let mut targets = self.targets(service);
            targets.dedup_by(|a, b| a.address == b.address);
            problems.extend(targets.into_iter().filter_map(|target| {
                let (name, address) = (&service.name, &target.address);
                if self.is_gateway_itself(network, address) {
                    return Some(format!(
                        "service {name}: target {address} is the gateway itself; nothing is sent \
                         there"
                    ));
                }
                match (&target.next_hop, &target.mac) {
                    (None, _) => Some(format!(
                        "service {name}: target {address} is in no subnet of network {}; add \
                         `gateway` to the network",
                        service.network
                    )),
                    (Some(hop), None) => Some(format!(
                        "service {name}: no answer from {hop}, the next hop to target {address}"
                    )),
                    (Some(_), Some(_)) => None,
                }
            }));
        }
        problems
    }

    /// Why the next hops in a VLAN network cannot be found.
    fn vlan_problem(&self, network: &model::Network) -> Option<String> {
        let model::Attachment { interface, vlan } = &network.attachment;
        let (vlan, name) = (vlan.as_ref()?, &network.name);
        self.facts.stack(&network.attachment).is_none().then(|| {
            format!(
                "network {name}: the host has no interface for vlan {vlan} of {interface}, which it \
                 needs to find next hops; create one with `ip link add link {interface} name \
                 {interface}.{vlan} type vlan id {vlan}`"
            )
        })
    }
}

fn listeners(service: &model::Service) -> Vec<String> {
    let listeners = service.listeners.iter();
    listeners.map(|listener| format!("{}/{}", listener.protocol, listener.ports)).collect()
}

fn words(things: &[impl ToString]) -> Vec<String> {
    things.iter().map(ToString::to_string).collect()
}

/// The drop counters by the name of the reason.
pub fn drops(counts: Vec<(Reason, u64)>) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(reason, count)| (reason.name().to_owned(), count)).collect()
}

fn mac(mac: privatelink_common::Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::{ClockOffset, Timestamp};
    use crate::{config, host::Link};

    #[test]
    fn what_is_missing_is_said() {
        let text = include_str!("../../../examples/quickstart.toml");
        let model = config::from_text("test.toml", text).unwrap().model;
        let mut facts = HostFacts::default();
        facts.insert_link(Link {
            index: 3,
            name: "veth-vendor".into(),
            mac: Some([2; 6]),
            mtu: 1500,
            up: false,
            allmulti: false,
            tag: None,
        });
        let mut state = State::default();
        let inputs = Inputs::default();
        state.follow(&model, &facts, &inputs, Timestamp::now()).unwrap();
        let attached = BTreeMap::from([(3, Mode::Generic)]);
        let flows = FlowCounts {
            endpoints: BTreeMap::from([(1, 7)]),
            targets: BTreeMap::from([((1, 8080), 3), ((1, 9999), 4), ((2, 8080), 2)]),
        };
        let view = Overview {
            model: &model,
            state: &state,
            rights: &Rights::All,
            facts: &facts,
            inputs: &inputs,
            at: Moment { now: Timestamp::now(), ahead: ClockOffset::default() },
            attached: &attached,
            flows: &flows,
            origins: &Origins::default(),
        };
        let modes: Vec<_> = view.networks().into_iter().map(|network| network.xdp_mode).collect();
        assert_eq!(modes, [None, Some("generic".to_owned())]);
        let problems = view.problems();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[0].contains("there is no interface veth-acme"), "{problems:?}");
        assert!(problems[1].contains("veth-vendor is down"), "{problems:?}");
        assert!(problems[3].contains("no answer from fd00::10"), "{problems:?}");
        let endpoint = view.endpoints(|_| Default::default(), &BTreeMap::new());
        assert_eq!((endpoint[0].state.as_str(), endpoint[0].active_flows), ("available", 7));
    }
}
