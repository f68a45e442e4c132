//! Targets: the health of each, and why.

use std::{collections::BTreeSet, net::IpAddr};

use super::{Overview, mac};
use crate::{
    desired::next_hop,
    interface::types,
    model::{PortRange, Service},
    state::targets::{self, Behind, Health, TargetKey},
    timestamp::Timestamp,
};

/// The word for a target that no packet can get to.
pub const UNREACHABLE: &str = "unreachable";

/// The health of a target as people see it, draining included.
struct Life {
    word: &'static str,
    reason: String,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Life {
    /// As it is seen while the next hop does not answer: no packet gets there, whatever is known or
    /// assumed of the target itself.
    fn without_neighbour(self, hop: Option<IpAddr>) -> Self {
        if ![Health::Healthy.word(), Health::Initial.word()].contains(&self.word) {
            return self;
        }
        let reason = match hop {
            Some(hop) => format!("no answer from its next hop {hop}"),
            None => "it is in no subnet of the network, which has no `gateway`".to_owned(),
        };
        Self { word: UNREACHABLE, reason, ..self }
    }
}

impl Overview<'_> {
    /// A service's targets, once for each range of ports that listeners lead to.
    pub fn targets(&self, service: &Service) -> Vec<types::Target> {
        let mut served = targets::served(service, self.inputs);
        let weights = targets::addresses(service, self.inputs);
        let ports: BTreeSet<PortRange> =
            service.listeners.iter().map(|listener| listener.target_ports).collect();
        for (address, _) in self.state.drains.of_service(&service.name) {
            if !weights.contains_key(&address) {
                served.extend(ports.iter().map(|ports| (address, *ports)));
                served.extend(self.other_ports(service, address, &ports));
            }
        }
        let served = served.into_iter();
        let target = |(address, ports)| {
            let weight = weights.get(&address).map(|weight| weight.get());
            self.target(service, address, ports, weight)
        };
        served.map(target).collect()
    }

    /// The ports at which a removed target still has flows, beyond those of listeners: it had a port
    /// of its own.
    fn other_ports(
        &self,
        service: &Service,
        address: IpAddr,
        known: &BTreeSet<PortRange>,
    ) -> Vec<(IpAddr, PortRange)> {
        let Some(index) = self.state.ids.target(service, address) else { return Vec::new() };
        let used = self.flows.targets.range((index, 0)..=(index, u16::MAX));
        let ports = used.filter_map(|((_, port), _)| PortRange::try_from(i64::from(*port)).ok());
        let is_other = |port: &PortRange| !known.iter().any(|range| range.overlaps(*port));
        ports.filter(is_other).map(|port| (address, port)).collect()
    }

    /// A target on a range of its ports; without a weight if it was removed from the service.
    fn target(
        &self,
        service: &Service,
        address: IpAddr,
        ports: PortRange,
        weight: Option<u32>,
    ) -> types::Target {
        let network = self.model.networks().get(&service.network);
        let link = network.and_then(|network| self.facts.stack(&network.attachment));
        let hop = network.and_then(|network| next_hop(network, address));
        let neighbour = link.zip(hop).and_then(|(l, hop)| self.facts.neighbour(l.index, hop));
        let index = self.state.ids.target(service, address);
        let mut life = self.life(service, address, ports, weight);
        if neighbour.is_none() {
            life = life.without_neighbour(hop);
        }
        types::Target {
            service: service.name.to_string(),
            address: address.to_string(),
            port: ports.first().get(),
            ports: ports.to_string(),
            weight: weight.unwrap_or(0),
            health: life.word.to_owned(),
            reason: life.reason,
            since: life.since.map(|since| self.at.ahead.shown(since).to_string()),
            until: life.until.map(|until| self.at.ahead.shown(until).to_string()),
            active_flows: index.map_or(0, |index| self.flows_to(index, ports)),
            next_hop: hop.map(|hop| hop.to_string()),
            mac: neighbour.map(|neighbour| mac(neighbour.mac)),
        }
    }

    fn life(
        &self,
        service: &Service,
        address: IpAddr,
        ports: PortRange,
        weight: Option<u32>,
    ) -> Life {
        if let Some(drain) = self.state.drains.of(service, address) {
            let why = weight.map_or("it was removed from the service", |_| "its weight is 0");
            let over = drain.until <= self.at.now;
            return Life {
                word: if over { "unused" } else { "draining" },
                reason: why.to_owned(),
                since: Some(if over { drain.until } else { drain.since }),
                until: (!over).then_some(drain.until),
            };
        }
        let life = |health: Health, reason: String, since| Life {
            word: health.word(),
            reason,
            since,
            until: None,
        };
        let Some(check) = &service.health_check else {
            return life(Health::Healthy, "the service has no health check".to_owned(), None);
        };
        let port = check.port.unwrap_or(ports.first()).get();
        let key = TargetKey { service: service.name.clone(), address, port };
        match self.inputs.health.get(&key) {
            Some(known) => life(known.health, known.reason.clone(), Some(known.since)),
            None => life(Health::Initial, "no health check has ended yet".to_owned(), None),
        }
    }

    /// The listeners of a service without a healthy target, and what happens to their new flows.
    pub(super) fn health_problem(&self, service: &Service) -> Option<String> {
        let check = service.health_check.as_ref()?;
        let is_healthy = |one: &Behind<'_>, address| {
            let known = self.inputs.health.get(&targets::key(service, check, one.ports, address));
            known.is_some_and(|known| known.health == Health::Healthy)
        };
        let listeners: Vec<String> = service
            .listeners
            .iter()
            .filter(|listener| {
                let all = targets::behind(service, listener, self.inputs).into_iter();
                let mut weighted = all.filter(|(_, one)| one.weight.get() != 0).peekable();
                let any = weighted.peek().is_some();
                any && !weighted.any(|(address, one)| is_healthy(&one, address))
            })
            .map(|listener| format!("{}/{}", listener.protocol, listener.ports))
            .collect();
        let what = if service.fail_open { "go to all targets" } else { "are refused" };
        (!listeners.is_empty()).then(|| {
            format!(
                "service {}: no target of {} is healthy, and new flows {what}; see `privatelink \
                 targets {}`",
                service.name,
                listeners.join(", "),
                service.name
            )
        })
    }

    fn flows_to(&self, target: u32, ports: PortRange) -> u64 {
        let range = (target, ports.first().get())..=(target, ports.last().get());
        self.flows.targets.range(range).map(|(_, flows)| flows).sum()
    }
}
