//! What the daemon has checked, and what it does with the outcomes.

use std::collections::{BTreeMap, BTreeSet};

use crate::daemon::{Error, gateway::Gateway};
use crate::{
    desired::next_hop,
    events::{Event, Kind},
    interface::types::About,
    model::{Listener, Protocol},
    state::targets::{Condition, Health, TargetKey},
    watch::health::{self, Check, Checks, Obstacle, Report, Reports, Symptoms},
};

/// The checks that run, and what they were told.
#[derive(Debug)]
pub(in crate::daemon) struct Watch {
    checks: Checks,
    wanted: BTreeMap<TargetKey, Check>,
    /// What flows tell, by index of the target.
    patients: BTreeMap<u32, Patient>,
    /// Targets whose next hop does not answer.
    unreached: BTreeSet<TargetKey>,
}

/// A target whose flows are watched.
#[derive(Debug, Default)]
struct Patient {
    keys: Vec<TargetKey>,
    has_datagrams: bool,
    symptoms: Symptoms,
}

impl Watch {
    /// Nothing is checked yet.
    pub fn over(checks: Checks) -> Self {
        let (wanted, patients) = (BTreeMap::new(), BTreeMap::new());
        Self { checks, wanted, patients, unreached: BTreeSet::new() }
    }
}

impl Gateway {
    /// Has those targets checked that the configuration wants to be.
    pub(in crate::daemon) fn follow_checks(&mut self) {
        let wanted = health::wanted(&self.loaded.model, self.host.facts(), &self.inputs);
        if wanted != self.watch.wanted {
            // What was known before this daemon, or is taken for granted, is where checks begin.
            let before = &self.watch.wanted;
            let new = |key: &TargetKey| wanted.contains_key(key) && !before.contains_key(key);
            let known = self.inputs.health.iter().filter(|(key, _)| new(key));
            let known = known.map(|(key, condition)| (key.clone(), condition.clone()));
            self.watch.checks.assume(known.collect());
            self.inputs.health.retain(|key, _| wanted.contains_key(key));
            self.watch.checks.follow(wanted.clone());
            self.watch.wanted = wanted;
            self.watch_flows();
        }
        self.watch_hops();
    }

    /// Has the flows watched of all targets that are checked.
    fn watch_flows(&mut self) {
        let mut before = std::mem::take(&mut self.watch.patients);
        for key in self.watch.wanted.keys() {
            let Some(service) = self.loaded.model.services().get(&key.service) else { continue };
            let ids = &self.store.state().ids;
            let Some(index) = ids.target(service, key.address) else { continue };
            let patient = self.watch.patients.entry(index).or_insert_with(|| {
                let is_udp = |listener: &Listener| listener.protocol == Protocol::Udp;
                let symptoms = before.remove(&index).unwrap_or_default().symptoms;
                let has_datagrams = service.listeners.iter().any(is_udp);
                Patient { keys: Vec::new(), has_datagrams, symptoms }
            });
            patient.keys.push(key.clone());
        }
    }

    /// Looks how flows to targets have begun, and has those checked that leave a bad impression.
    pub fn look_at_flows(&mut self) -> Result<(), Error> {
        let Watch { checks, patients, .. } = &mut self.watch;
        let indices: Vec<u32> = patients.keys().copied().collect();
        let counters = self.datapath.reader().target_counters(&indices)?;
        for (patient, counted) in patients.values_mut().zip(counters) {
            if patient.symptoms.look(counted, patient.has_datagrams) {
                patient.keys.iter().for_each(|key| checks.suspect(key.clone()));
            }
        }
        Ok(())
    }

    /// Has targets checked whose next hop has just stopped to answer.
    fn watch_hops(&mut self) {
        let (model, facts) = (&self.loaded.model, self.host.facts());
        let is_unreached = |key: &&TargetKey| {
            let network = model.services().get(&key.service);
            let network = network.and_then(|service| model.networks().get(&service.network));
            network.is_some_and(|network| {
                let link = facts.stack(&network.attachment);
                let hop = link.zip(next_hop(network, key.address));
                hop.is_none_or(|(link, hop)| facts.neighbour(link.index, hop).is_none())
            })
        };
        let unreached = self.watch.wanted.keys().filter(is_unreached).cloned().collect();
        let before = std::mem::replace(&mut self.watch.unreached, unreached);
        for key in self.watch.unreached.difference(&before) {
            self.watch.checks.suspect(key.clone());
        }
    }

    /// Takes in a report and those that wait behind it; says whether a target's health changed.
    pub fn take_reports(&mut self, report: Report, reports: &mut Reports) -> bool {
        let mut changed = Vec::new();
        let mut next = Some(report);
        while let Some(Report { key, condition }) = next {
            // It may have been on its way while the target was removed.
            if self.watch.wanted.contains_key(&key) {
                let known = self.inputs.health.get(&key);
                if known.map_or(Health::Initial, |known| known.health) != condition.health {
                    changed.push((key.clone(), condition.clone()));
                }
                self.inputs.health.insert(key, condition);
            }
            next = reports.waiting();
        }
        self.events.publish_all(changed.iter().filter_map(|(key, now)| self.event(key, now)));
        !changed.is_empty()
    }

    /// A target's health has changed.
    fn event(&self, key: &TargetKey, condition: &Condition) -> Option<Event> {
        let kind = match condition.health {
            Health::Initial => return None,
            Health::Healthy => Kind::TargetHealthy,
            Health::Unhealthy => Kind::TargetUnhealthy,
        };
        let TargetKey { service, address, port } = key;
        let (word, reason) = (condition.health.word(), &condition.reason);
        let text =
            format!("service {service}: target {address} is {word} on port {port}: {reason}");
        let about = About {
            service: Some(service.to_string()),
            address: Some(address.to_string()),
            reason: Some(reason.clone()),
            ..About::default()
        };
        let mut event = Event::new(kind, text).about(about);
        if let Some(service) = self.loaded.model.services().get(service) {
            event = event.seen_by(&service.principal);
        }
        Some(event)
    }

    /// Whether every target that can be checked has been.
    pub(in crate::daemon) fn is_checked(&self) -> bool {
        let mut wanted = self.watch.wanted.iter();
        wanted.all(|(key, check)| {
            let known = self.inputs.health.get(key);
            check.obstacle.is_some() || known.is_some_and(|known| known.health != Health::Initial)
        })
    }

    /// Which services' targets cannot be checked for want of an address.
    pub(in crate::daemon) fn check_problems(&self) -> BTreeSet<String> {
        let wanted = self.watch.wanted.iter();
        let unable = wanted.filter_map(|(key, check)| match &check.obstacle {
            Some(obstacle @ Obstacle::NoAddress { .. }) => {
                Some(format!("service {}: targets are not checked: {obstacle}", key.service))
            }
            // These are told of the network.
            Some(Obstacle::NoInterface(_) | Obstacle::Down(_) | Obstacle::NoVlan { .. }) | None => {
                None
            }
        });
        unable.collect()
    }
}
