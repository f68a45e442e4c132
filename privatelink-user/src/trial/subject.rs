//! What is known of an endpoint's way, copied so that it can be looked at beside the daemon's loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use privatelink_common::{Mac, Reason};

use super::{
    names::{self, Served},
    surroundings::Surroundings,
};
use crate::{
    datapath::bpf::Account,
    desired::share,
    interface::types,
    model::{Attachment, Endpoint, Network, PortRange, Protocol, SecurityRule, Service},
    state::connection::Acceptance,
    view::status::Overview,
};

/// What is known of an endpoint's way.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The endpoint.
    pub endpoint: String,
    /// The service that it leads to.
    pub service: String,
    /// The principal of the endpoint's network.
    pub consumer: String,
    /// The principal of the service.
    pub provider: String,
    /// The addresses of the endpoint.
    pub addresses: Vec<IpAddr>,
    /// Where clients are.
    pub clients: Vec<IpNet>,
    /// The addresses of that network that are the gateway's.
    pub taken: BTreeSet<IpAddr>,
    /// Who may use the endpoint.
    pub allow: Vec<SecurityRule>,
    /// What the provider or time has decided.
    pub acceptance: Acceptance,
    /// Why.
    pub reason: String,
    /// What the service is offered on: the ports of the listener, and those of targets.
    pub listeners: Vec<(Protocol, PortRange, PortRange)>,
    /// Its targets.
    pub targets: Vec<types::Target>,
    /// Those among them that are the gateway itself.
    pub own_targets: BTreeSet<String>,
    /// Its source addresses.
    pub sources: Vec<IpAddr>,
    /// The consumer's network.
    pub consumer_link: Link,
    /// The provider's network.
    pub provider_link: Link,
    /// What becomes of the endpoint's names.
    pub names: Served,
    /// What the live programs have counted.
    pub account: Option<Account>,
    /// Flows of the endpoint, and its share of the table.
    pub flows: [u64; 2],
    /// What has been refused, by reason.
    pub drops: BTreeMap<Reason, u64>,
}

/// Where a network meets the gateway.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The network.
    pub network: String,
    /// The interface that the configuration names.
    pub interface: String,
    /// The interface whose addresses the gateway uses there.
    pub stack: Option<String>,
    /// Its VLAN.
    pub vlan: Option<u16>,
    /// Index of the interface, if there is one.
    pub ifindex: Option<u32>,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Largest IP packet.
    pub mtu: u16,
    /// What is wrong with it, and what to do.
    pub trouble: Option<[String; 2]>,
    /// Whether the gateway has addresses of its own there, by family: IPv4, IPv6.
    pub own: [bool; 2],
    /// Addresses of the gateway that other hosts there use.
    pub conflicts: Vec<(IpAddr, String)>,
}

impl Subject {
    /// What is known of an endpoint; `None` if its service or a network of the two is gone.
    pub fn of(around: &Surroundings<'_>, endpoint: &Endpoint) -> Option<Self> {
        let Surroundings { view, tables, .. } = around;
        let service = view.model.services().get(&endpoint.service)?;
        let consumers = view.model.networks().get(&endpoint.network)?;
        let providers = view.model.networks().get(&service.network)?;
        let addresses = view.state.addresses.of(endpoint);
        let addresses: Vec<IpAddr> =
            addresses.map(|pair| pair.iter().collect()).unwrap_or_default();
        let connection = view.state.connections.get(&endpoint.name);
        let network = view.state.ids.network(consumers);
        let locals = tables.iter().flat_map(|tables| tables.locals.keys());
        let locals = locals.filter(|key| Some(key.network) == network);
        let targets = view.targets(service);
        let is_own = |address: &str| {
            let address = address.parse();
            address.is_ok_and(|one| view.facts.is_gateway_itself(view.model, providers, one))
        };
        let own_targets = targets.iter().map(|target| &target.address);
        let own_targets = own_targets.filter(|one| is_own(one)).cloned().collect();
        let index = view.state.ids.endpoint(endpoint);
        let shares = share::of_endpoints(view.model, &view.state.ids);
        let share = index.and_then(|index| shares.get(&index));
        Some(Self {
            endpoint: endpoint.name.to_string(),
            service: service.name.to_string(),
            consumer: consumers.principal.to_string(),
            provider: service.principal.to_string(),
            clients: consumers.clients().collect(),
            taken: locals.map(|key| key.address.to_ip()).collect(),
            allow: endpoint.allow.clone(),
            acceptance: view.acceptance(endpoint),
            reason: connection.map(|one| one.reason().to_owned()).unwrap_or_default(),
            listeners: listeners(service),
            own_targets,
            sources: service.source_addresses.clone(),
            consumer_link: link(around, consumers),
            provider_link: link(around, providers),
            names: names::served(around, endpoint, service, consumers),
            account: index.map(|index| account(around, service, &targets, index)),
            flows: [view.flows_through(endpoint), share.map_or(0, |share| share.flows.into())],
            drops: index.and_then(|index| around.drops.get(&index).cloned()).unwrap_or_default(),
            addresses,
            targets,
        })
    }

    /// The targets that new flows go to, if their health says so.
    pub fn serving(&self) -> impl Iterator<Item = &types::Target> {
        self.targets.iter().filter(|target| {
            target.weight > 0 && ["healthy", "initial"].contains(&target.health.as_str())
        })
    }
}

fn listeners(service: &Service) -> Vec<(Protocol, PortRange, PortRange)> {
    let all = service.listeners.iter();
    all.map(|one| (one.protocol, one.ports, one.target_ports)).collect()
}

fn account(
    around: &Surroundings<'_>,
    service: &Service,
    targets: &[types::Target],
    endpoint: u32,
) -> Account {
    let ids = &around.view.state.ids;
    let ours = ids.sources().filter(|(_, network, address)| {
        *network == service.network.as_str() && service.source_addresses.contains(address)
    });
    let records = around.tables.map(|tables| &tables.sources);
    let blocks = ours.filter_map(|(index, ..)| Some(records?.get(&index)?.blocks));
    let targets = targets.iter().map(|target| (&target.address, &target.ports));
    let targets = targets.collect::<BTreeSet<_>>().len();
    Account {
        endpoint,
        blocks: blocks.collect(),
        targets: u32::try_from(targets).unwrap_or(u32::MAX),
    }
}

fn link(around: &Surroundings<'_>, network: &Network) -> Link {
    let facts = around.view.facts;
    let Attachment { interface, vlan } = &network.attachment;
    let found = facts.link(interface.as_str());
    let stack = facts.stack(&network.attachment);
    let own = stack.map(|stack| facts.own_addresses(stack.index).collect::<Vec<_>>());
    let own = own.unwrap_or_default();
    let has = |is_wanted: fn(&IpAddr) -> bool| {
        own.iter().any(|one| is_wanted(one) && !crate::host::is_link_local(*one))
    };
    let indices = [found.map(|link| link.index), stack.map(|link| link.index)];
    let conflicts = around.conflicts.iter().filter(|(index, ..)| indices.contains(&Some(*index)));
    Link {
        network: network.name.to_string(),
        interface: interface.to_string(),
        stack: stack.map(|stack| stack.name.clone()),
        vlan: vlan.as_ref().map(|vlan| vlan.get() as u16),
        ifindex: found.map(|link| link.index),
        mac: found.and_then(|link| link.mac).unwrap_or_default(),
        mtu: found.map_or(0, |link| u16::try_from(link.mtu).unwrap_or(u16::MAX)),
        trouble: trouble(around, network),
        own: [has(IpAddr::is_ipv4), has(IpAddr::is_ipv6)],
        conflicts: conflicts.map(|(_, address, mac)| (*address, mac.clone())).collect(),
    }
}

/// Why no packet comes or goes by a network's interface, and what to do.
fn trouble(around: &Surroundings<'_>, network: &Network) -> Option<[String; 2]> {
    let Overview { facts, attached, .. } = around.view;
    let Attachment { interface, vlan } = &network.attachment;
    let Some(link) = facts.link(interface.as_str()) else {
        let remedy = format!("create it, or correct `interface` of network {}", network.name);
        return Some([format!("there is no interface {interface}"), remedy]);
    };
    if link.mac.is_none() {
        let remedy = format!("give network {} an Ethernet interface", network.name);
        return Some([format!("{interface} is not an Ethernet interface"), remedy]);
    }
    if !link.up {
        let remedy = format!("run `ip link set {interface} up`");
        return Some([format!("{interface} is down"), remedy]);
    }
    // Clients need none: packets go back to where they come from.
    let mut services = around.view.model.services().values();
    if let Some(vlan) = vlan
        && facts.stack(&network.attachment).is_none()
        && services.any(|service| service.network == network.name)
    {
        let remedy = format!(
            "run `ip link add link {interface} name {interface}.{vlan} type vlan id {vlan}`"
        );
        return Some([format!("the host has no interface for vlan {vlan} of {interface}"), remedy]);
    }
    if !attached.contains_key(&link.index) {
        let remedy = "`privatelink status` says why; `privatelink doctor` says what to do";
        return Some([format!("the programs are not attached to {interface}"), remedy.into()]);
    }
    None
}

#[cfg(test)]
impl Subject {
    /// A service with one target, in the state that a test wants.
    pub fn sample(target: types::Target) -> Self {
        let ports = PortRange::try_from(80).unwrap();
        Self {
            endpoint: "acme-web".into(),
            service: "web".into(),
            consumer: "acme".into(),
            provider: "vendor".into(),
            addresses: vec!["10.1.0.50".parse().unwrap()],
            clients: vec!["10.1.0.0/24".parse().unwrap()],
            taken: BTreeSet::from(["10.1.0.50".parse().unwrap()]),
            allow: Vec::new(),
            acceptance: Acceptance::Available,
            reason: String::new(),
            listeners: vec![(Protocol::Tcp, ports, ports)],
            targets: vec![target],
            own_targets: BTreeSet::new(),
            sources: vec!["10.0.0.240".parse().unwrap()],
            consumer_link: Link {
                network: "acme".into(),
                interface: "eth1".into(),
                ..Link::default()
            },
            provider_link: Link {
                network: "vendor".into(),
                interface: "eth2".into(),
                ..Link::default()
            },
            names: Served::Unwanted,
            account: None,
            flows: [0, 10],
            drops: BTreeMap::new(),
        }
    }
}
