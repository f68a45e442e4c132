//! What the maps should hold: a pure function of configuration, state, host, time and what is
//! known of targets.

mod hosts;
mod maglev;
mod policy;
mod pools;
pub mod rule_set;
pub mod share;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use privatelink_common::{
    Admission, Endpoint, Listener, ListenerKey, Local, LocalKey, LocalKind, Mac, Pool, Refusal,
    Service, Source, TAGGED_ONLY, TCP, TagKey, Target, TargetState, UDP, policy::limited,
    ticks_from_millis,
};

use crate::{
    datapath::tables::MapTables,
    host::{HostFacts, Link},
    model::{self, Model, OnPending, OnReject, OnUnhealthy, Protocol, Stickiness},
    state::{
        State,
        connection::rules_of,
        ids::{Family, Ids},
        targets::{self, Inputs},
    },
    timestamp::Timestamp,
};

pub use pools::Pools;

/// Computes the content of every map.
///
/// Records that need an interface that the host does not have are left out.
pub fn desired(
    model: &Model,
    state: &State,
    facts: &HostFacts,
    inputs: &Inputs,
    pools: &Pools,
    now: Timestamp,
) -> MapTables {
    let ids = &state.ids;
    let flow_parts = policy::flow_parts(model);
    let tables = MapTables::default();
    let mut builder = Builder { model, state, ids, facts, inputs, pools, now, flow_parts, tables };
    builder.networks();
    builder.sources();
    for service in model.services().values() {
        builder.service(service);
    }
    for endpoint in model.endpoints().values() {
        builder.endpoint(endpoint);
    }
    builder.shares();
    builder.tables
}

/// What of that is there for the sake of these endpoints, and the shares of all; `None` where they
/// change what others get.
pub fn desired_of_added<'a>(
    model: &Model,
    state: &State,
    facts: &HostFacts,
    added: impl IntoIterator<Item = &'a model::Name>,
    now: Timestamp,
) -> Option<MapTables> {
    let ids = &state.ids;
    let flow_parts = policy::flow_parts(model);
    let (inputs, pools) = (&Inputs::default(), &Pools::default());
    let tables = MapTables::default();
    let mut builder = Builder { model, state, ids, facts, inputs, pools, now, flow_parts, tables };
    for name in added {
        let endpoint = model.endpoints().get(name)?;
        let network = model.networks().get(&endpoint.network)?;
        if builder.flow_parts.contains_key(&network.principal) {
            return None;
        }
        builder.endpoint(endpoint);
    }
    builder.shares();
    Some(builder.tables)
}

/// The next hops that the gateway sends to, by interface.
pub fn next_hops(
    model: &Model,
    state: &State,
    facts: &HostFacts,
    inputs: &Inputs,
    now: Timestamp,
) -> BTreeSet<(u32, IpAddr)> {
    hops(model, facts, |service| targets::kept(service, inputs, &state.drains, now))
}

/// The next hops to targets that get new flows, by interface.
pub fn serving_hops(
    model: &Model,
    state: &State,
    facts: &HostFacts,
    inputs: &Inputs,
) -> BTreeSet<(u32, IpAddr)> {
    hops(model, facts, |service| {
        let mut addresses: BTreeSet<IpAddr> =
            targets::served(service, inputs).into_iter().map(|(address, _)| address).collect();
        addresses.retain(|address| state.drains.of(service, *address).is_none());
        addresses
    })
}

/// The next hops to these addresses of each service, by interface.
fn hops<A: IntoIterator<Item = IpAddr>>(
    model: &Model,
    facts: &HostFacts,
    addresses: impl Fn(&model::Service) -> A,
) -> BTreeSet<(u32, IpAddr)> {
    let services = model.services().values();
    let hops = services.flat_map(|service| {
        let network = model.networks().get(&service.network);
        let attachment = network.and_then(|network| Some((network, interface(network, facts)?)));
        let addresses = addresses(service).into_iter().collect::<Vec<_>>().into_iter();
        addresses.filter_map(move |address| {
            let (network, attached) = attachment?;
            if facts.is_gateway_itself(model, network, address) {
                return None;
            }
            let hop = next_hop(network, address)?;
            let stack = attached.stack.filter(|stack| stack.up)?;
            Some((stack.index, hop))
        })
    });
    hops.collect()
}

/// The next hop of a packet for `address`: the address itself if it is on the link.
pub fn next_hop(network: &model::Network, address: IpAddr) -> Option<IpAddr> {
    match network.subnet_of(address) {
        Some(_) => Some(address),
        None => network.gateway_for(address),
    }
}

/// The admission of an endpoint's packets.
fn admission(
    model: &Model,
    state: &State,
    endpoint: &model::Endpoint,
    now: Timestamp,
) -> Admission {
    let connection = state.connections.get(&endpoint.name);
    match connection.zip(rules_of(model, endpoint)) {
        Some((connection, (_, rules))) => connection.admission(&rules, now),
        // Without a request there is nothing that could have been accepted.
        None => Admission::Pending,
    }
}

/// An interface that packets can be forwarded on.
#[derive(Clone, Copy)]
struct AttachedInterface<'a> {
    link: &'a Link,
    /// The interface whose neighbours the host's stack resolves, if there is one.
    stack: Option<&'a Link>,
    mac: Mac,
    /// Largest packet without a tag and largest with one; one of the two is zero.
    mtu: u16,
    tagged_mtu: u16,
    vlan: u16,
}

fn interface<'a>(network: &model::Network, facts: &'a HostFacts) -> Option<AttachedInterface<'a>> {
    let link = facts.link(network.attachment.interface.as_str())?;
    let all = u16::try_from(link.mtu).unwrap_or(u16::MAX);
    let vlan = network.attachment.vlan.as_ref().map_or(0, |vlan| vlan.get() as u16);
    let (mtu, tagged_mtu) = if vlan == 0 { (all, 0) } else { (0, all) };
    let stack = facts.stack(&network.attachment);
    link.mac.map(|mac| AttachedInterface { link, stack, mac, mtu, tagged_mtu, vlan })
}

/// The tables while they are filled, and everything that they are computed from.
struct Builder<'a> {
    model: &'a Model,
    state: &'a State,
    ids: &'a Ids,
    facts: &'a HostFacts,
    inputs: &'a Inputs,
    pools: &'a Pools,
    now: Timestamp,
    /// See [`policy::flow_parts`].
    flow_parts: BTreeMap<&'a model::Name, u64>,
    tables: MapTables,
}

impl<'a> Builder<'a> {
    /// A network's index and interface, if it has both.
    fn attached(
        &self,
        name: &model::Name,
    ) -> Option<(&'a model::Network, u32, AttachedInterface<'a>)> {
        let network = self.model.networks().get(name)?;
        Some((network, self.ids.network(network)?, interface(network, self.facts)?))
    }

    fn networks(&mut self) {
        for name in self.model.networks().keys() {
            if let Some((network, index, attached)) = self.attached(name) {
                let (ifindex, vlan) = (attached.link.index, attached.vlan);
                if vlan == 0 {
                    self.tables.attachments.insert(ifindex, index + 1);
                } else {
                    self.tables.tagged.insert(TagKey { ifindex, vlan: vlan.into() }, index);
                    self.tables.attachments.entry(ifindex).or_insert(TAGGED_ONLY + 1);
                }
                self.tables.devices.insert(attached.link.index, ());
                let stack = attached.stack.iter();
                let own = stack.flat_map(|stack| self.facts.own_addresses(stack.index));
                hosts::put(&mut self.tables, network, index, attached.mac, own);
            }
        }
    }

    fn sources(&mut self) {
        for (index, network, address) in self.ids.sources() {
            self.tables
                .sources
                .insert(index, Source::at(address.into(), share::network_number(network)));
            let network = self.model.networks().get_key_value(network).map(|(name, _)| name);
            let attached = network.and_then(|name| self.attached(name));
            if let Some((_, network, attached)) = attached {
                let key = LocalKey { network, address: address.into() };
                let local = local(LocalKind::Source, index, attached.mac);
                // Of several indices of one address, the first stands for it.
                let entry = self.tables.locals.entry(key).or_insert(local);
                if !entry.is_served() {
                    *entry = local;
                }
            }
        }
    }

    fn service(&mut self, service: &model::Service) {
        let Some(index) = self.ids.service(service) else { return };
        let record = Service {
            sources_v4: self.ids.source_pool(service, Family::V4),
            sources_v6: self.ids.source_pool(service, Family::V6),
        };
        self.tables.services.insert(index, record);
        // Without an interface there are no targets, and listeners with empty pools refuse flows.
        let mut pools: &[[Pool; 2]] = &[];
        if let Some((network, network_index, attached)) = self.attached(&service.network) {
            self.targets(service, network, network_index, attached);
            pools = self.pools.of(index);
            self.tables.backends.extend(self.pools.entries(index));
        }
        for (number, listener) in service.listeners.iter().enumerate() {
            let pools = pools.get(number).copied().unwrap_or_default();
            self.listener(index, service, listener, pools);
        }
    }

    fn targets(
        &mut self,
        service: &model::Service,
        network: &model::Network,
        network_index: u32,
        attached: AttachedInterface<'_>,
    ) {
        let ports = targets::own_ports(service, self.inputs);
        for address in targets::kept(service, self.inputs, &self.state.drains, self.now) {
            let Some(index) = self.ids.target(service, address) else { continue };
            // Without a next hop nothing is sent there.
            let is_own = self.facts.is_gateway_itself(self.model, network, address);
            let hop = next_hop(network, address).filter(|_| !is_own);
            let known = attached.stack.zip(hop);
            let hop = known.and_then(|(stack, hop)| self.facts.neighbour(stack.index, hop));
            let target = Target {
                address: address.into(),
                state: self.target_state(service, address, index) as u32,
                network: network_index,
                ifindex: attached.link.index,
                hop: hop.map_or(Mac::default(), |neighbour| neighbour.mac),
                mac: attached.mac,
                mtu: attached.mtu,
                tagged_mtu: attached.tagged_mtu,
                vlan: attached.vlan,
                port: ports.get(&address).map_or(0, |port| port.get().to_be()),
                ..Target::default()
            };
            self.tables.targets.insert(index, target);
        }
    }

    /// Whether flows to a target may continue.
    fn target_state(&self, service: &model::Service, address: IpAddr, index: u32) -> TargetState {
        if let Some(drain) = self.state.drains.of(service, address) {
            return if drain.until > self.now { TargetState::Present } else { TargetState::Gone };
        }
        let used = self.ids.service(service).is_some_and(|one| self.pools.uses(one, index));
        let ill = service.on_unhealthy == OnUnhealthy::Reset
            && !used
            && targets::is_unhealthy(service, self.inputs, address);
        if ill { TargetState::Gone } else { TargetState::Present }
    }

    fn listener(
        &mut self,
        index: u32,
        service: &model::Service,
        listener: &model::Listener,
        pools: [Pool; 2],
    ) {
        let [backends_v4, backends_v6] = pools;
        let protocol = match listener.protocol {
            Protocol::Tcp => TCP.into(),
            Protocol::Udp => UDP.into(),
        };
        let millis = listener.idle_timeout.get().as_millis();
        let idle_ticks = ticks_from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        let flags = match service.stickiness {
            Stickiness::None => 0,
            Stickiness::Client => Listener::STICKY,
        };
        let ports = listener.ports.first().get()..=listener.ports.last().get();
        let target_ports = listener.target_ports.first().get()..=listener.target_ports.last().get();
        for (port, target_port) in ports.zip(target_ports) {
            let key = ListenerKey { service: index, port: port.to_be(), protocol };
            let target_port = target_port.to_be();
            let record = Listener { backends_v4, backends_v6, target_port, flags, idle_ticks };
            self.tables.listeners.insert(key, record);
        }
    }

    fn shares(&mut self) {
        self.tables.shares = share::of_endpoints(self.model, self.ids);
    }

    fn endpoint(&mut self, endpoint: &model::Endpoint) {
        let Some(service) = self.model.services().get(&endpoint.service) else { return };
        let indices = (self.ids.endpoint(endpoint), self.ids.service(service));
        let (Some(index), Some(service_index)) = indices else { return };
        let Some((consumers, network, attached)) = self.attached(&endpoint.network) else { return };
        let Some(addresses) = self.state.addresses.of(endpoint) else { return };
        let admission = admission(self.model, self.state, endpoint, self.now);
        let mut record = Endpoint {
            admission: admission as u32,
            refusal: refusal(service, admission) as u32,
            network,
            service: service_index,
            ifindex: attached.link.index,
            mac: attached.mac,
            mtu: attached.mtu,
            tagged_mtu: attached.tagged_mtu,
            vlan: attached.vlan,
            ..Endpoint::default()
        };
        let rules = policy::rules(endpoint, consumers);
        record.rules = rule_set::put(&mut self.tables.rules, rule_set::compile(&rules));
        let (limits, bits) =
            policy::limits(&endpoint.limits, self.flow_parts.get(&consumers.principal).copied());
        record.limits = bits;
        if bits & limited::PACKETS != 0 && admission == Admission::Available {
            record.admission = Admission::Metered as u32;
        }
        if bits != 0 {
            self.tables.limits.insert(index, limits);
        }
        for address in addresses.iter() {
            match address {
                IpAddr::V4(v4) => record.v4 = u32::from_ne_bytes(v4.octets()),
                IpAddr::V6(v6) => record.v6 = v6.into(),
            }
            let key = LocalKey { network, address: address.into() };
            self.tables.locals.insert(key, local(LocalKind::Endpoint, index, attached.mac));
        }
        self.tables.endpoints.insert(index, record);
    }
}

/// How packets of a connection that is not available are refused.
fn refusal(service: &model::Service, admission: Admission) -> Refusal {
    if admission == Admission::Pending {
        return match service.on_pending {
            OnPending::Reset => Refusal::Reset,
            OnPending::Drop => Refusal::Drop,
        };
    }
    match service.on_reject {
        OnReject::Reset | OnReject::Drain(_) => Refusal::Reset,
        OnReject::Drop => Refusal::Drop,
    }
}

fn local(kind: LocalKind, index: u32, mac: Mac) -> Local {
    Local { kind: kind as u32, index, mac, reserved: 0 }
}

#[cfg(test)]
mod tests;
