//! Which live flows a configuration cuts or drains, and which change causes that.
//!
//! The datapath carries a packet of a flow only while the records that the flow names say so. So
//! a flow ends where those records differ in what it relies on.

use std::{collections::BTreeMap, net::IpAddr};

use privatelink_common::{Admission, Endpoint, Source, Target, TargetState, flow::Flow};

use super::side::{Side, target_name};
use crate::{
    model::{self, Service},
    state::targets,
};

/// Counts flows by the change that cuts or drains them.
pub(super) struct Cuts<'a> {
    before: Side<'a>,
    after: Side<'a>,
    endpoints: BTreeMap<u32, &'a model::Endpoint>,
    targets: BTreeMap<u32, (&'a Service, IpAddr)>,
    /// Flows that are cut, and flows that drain.
    counts: BTreeMap<&'static str, BTreeMap<String, (u64, u64)>>,
    total: u64,
    drained: u64,
}

impl<'a> Cuts<'a> {
    pub fn new(before: Side<'a>, after: Side<'a>) -> Self {
        let endpoints = before.model.endpoints().values();
        let endpoints =
            endpoints.filter_map(|endpoint| Some((before.state.ids.endpoint(endpoint)?, endpoint)));
        let targets = before.model.services().values().flat_map(|service| {
            targets::addresses(service, before.inputs).into_keys().filter_map(move |address| {
                Some((before.state.ids.target(service, address)?, (service, address)))
            })
        });
        Self {
            before,
            after,
            endpoints: endpoints.collect(),
            targets: targets.collect(),
            counts: BTreeMap::new(),
            total: 0,
            drained: 0,
        }
    }

    /// Counts the flow in a slot of the flow table.
    pub fn count(&mut self, flow: &Flow) {
        // Each flow has two slots.
        if flow.is_reverse() {
            return;
        }
        let cut = self.cause(flow);
        let Some(cause) = cut.or_else(|| self.drain(flow)) else { return };
        let drains = matches!(cause, Cause::Drain(..));
        *(if drains { &mut self.drained } else { &mut self.total }) += 1;
        if let Some((kind, name)) = self.attribute(&cause) {
            let (cut, drained) = self.counts.entry(kind).or_default().entry(name).or_default();
            *(if drains { drained } else { cut }) += 1;
        }
    }

    /// How many flows this change cuts, and how many it drains.
    pub fn of(&self, kind: &str, name: &str) -> (u64, u64) {
        self.counts.get(kind).and_then(|names| names.get(name)).copied().unwrap_or_default()
    }

    /// How many flows are cut, each counted once.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many flows drain, each counted once.
    pub fn drained(&self) -> u64 {
        self.drained
    }

    /// The target of a flow that is not cut, if that begins to drain.
    fn drain(&self, flow: &Flow) -> Option<Cause<'a>> {
        self.endpoints.get(&flow.endpoint())?;
        let (service, address) = *self.targets.get(&flow.target())?;
        let drains = |side: &Side<'a>| side.state.drains.of(service, address).is_some();
        let begins = drains(&self.after) && !drains(&self.before);
        begins.then_some(Cause::Drain(service, address))
    }

    fn cause(&self, flow: &Flow) -> Option<Cause<'a>> {
        let (before, after) = (self.before.tables, self.after.tables);
        let client_is_v4 = flow.client.is_v4();
        let endpoint = *self.endpoints.get(&flow.endpoint())?;
        let old = before.endpoints.get(&flow.endpoint()).filter(|record| is_open(record))?;
        let target = before.targets.get(&flow.target()).filter(|record| is_present(record))?;
        let source = before.sources.get(&u32::from(flow.source))?;
        let same = |new: &Endpoint| same_endpoint(old, new, client_is_v4);
        if !after.endpoints.get(&flow.endpoint()).is_some_and(|new| is_open(new) && same(new)) {
            return Some(Cause::Endpoint(endpoint));
        }
        let same = |new: &Target| new.address == target.address && new.network == target.network;
        if !after.targets.get(&flow.target()).is_some_and(|new| is_present(new) && same(new)) {
            return Some(match self.targets.get(&flow.target()) {
                Some((service, address)) => Cause::Target(service, *address),
                None => Cause::Source(endpoint),
            });
        }
        let same = |new: &Source| new.address == source.address;
        let stays = after.sources.get(&u32::from(flow.source)).is_some_and(same);
        (!stays).then_some(Cause::Source(endpoint))
    }

    /// Kind and name of the change that causes it.
    fn attribute(&self, cause: &Cause<'a>) -> Option<(&'static str, String)> {
        match *cause {
            Cause::Endpoint(endpoint) => {
                let other = self.after.model.endpoints().get(&endpoint.name);
                let moved = other.is_none_or(|other| {
                    (&other.service, &other.network, other.addresses)
                        != (&endpoint.service, &endpoint.network, endpoint.addresses)
                });
                if moved {
                    return Some(("endpoint", endpoint.name.to_string()));
                }
                self.service(&endpoint.service).or_else(|| self.network(&endpoint.network))
            }
            Cause::Drain(service, address) => Some(("target", target_name(&service.name, address))),
            Cause::Target(service, address) => {
                let other = self.after.model.services().get(&service.name);
                let stays = other.is_some_and(|other| {
                    targets::addresses(other, self.after.inputs).contains_key(&address)
                });
                if other.is_some() && !stays {
                    return Some(("target", target_name(&service.name, address)));
                }
                self.service(&service.name).or_else(|| self.network(&service.network))
            }
            Cause::Source(endpoint) => self.service(&endpoint.service),
        }
    }

    fn service(&self, name: &model::Name) -> Option<(&'static str, String)> {
        let old = self.before.model.services().get(name)?;
        let new = self.after.model.services().get(name);
        let differs = new.is_none_or(|new| {
            (&old.network, old.acceptance, &old.allow, &old.accept, &old.source_addresses)
                != (&new.network, new.acceptance, &new.allow, &new.accept, &new.source_addresses)
        });
        differs.then(|| ("service", name.to_string()))
    }

    fn network(&self, name: &model::Name) -> Option<(&'static str, String)> {
        let networks = |side: &Side<'a>| side.model.networks().get(name);
        (networks(&self.before) != networks(&self.after)).then(|| ("network", name.to_string()))
    }
}

/// The record that cuts a flow, or will.
enum Cause<'a> {
    Endpoint(&'a model::Endpoint),
    Target(&'a Service, IpAddr),
    /// The flow goes on while its target drains.
    Drain(&'a Service, IpAddr),
    Source(&'a model::Endpoint),
}

/// Whether packets of flows that exist pass.
fn is_open(endpoint: &Endpoint) -> bool {
    Admission::carries(endpoint.admission)
}

fn is_present(target: &Target) -> bool {
    target.state == TargetState::Present as u32
}

fn same_endpoint(old: &Endpoint, new: &Endpoint, v4: bool) -> bool {
    let same_address = if v4 { old.v4 == new.v4 } else { old.v6 == new.v6 };
    old.network == new.network && same_address
}
