//! Health of targets: which are checked, how clients' flows fare, what checks find out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crate::{
    datapath::bpf::{self, Datapath},
    desired::next_hop,
    events::{Event, Kind},
    host::HostFacts,
    interface::types::About,
    model::{Listener, Model, Protocol},
    state::{
        ids::Ids,
        targets::{Condition, Health, Inputs, TargetKey},
    },
    timestamp::Timestamp,
    watch::health::{self, Check, Checks, HealthReport, Inquiry, Obstacle, Symptoms},
};

/// The running checks, and what may bring one forward.
#[derive(Debug)]
pub(in crate::daemon) struct TargetHealth {
    checks: Checks,
    wanted: BTreeMap<TargetKey, Check>,
    /// Targets whose flows are watched, by index of the target.
    watched: BTreeMap<u32, Watched>,
    /// Those of them with symptoms that nobody has vouched for yet.
    inquiry: Inquiry,
    /// Targets whose next hop does not answer.
    unreached: BTreeSet<TargetKey>,
}

/// A target whose flows are watched.
#[derive(Debug, Default)]
struct Watched {
    keys: Vec<TargetKey>,
    has_datagrams: bool,
    symptoms: Symptoms,
}

impl TargetHealth {
    /// Checks nothing yet.
    pub fn new(checks: Checks) -> Self {
        let (wanted, watched) = (BTreeMap::new(), BTreeMap::new());
        let (inquiry, unreached) = (Inquiry::default(), BTreeSet::new());
        Self { checks, wanted, watched, inquiry, unreached }
    }

    /// Checks the targets that the configuration wants checked, and no others.
    pub fn reconcile(&mut self, model: &Model, ids: &Ids, facts: &HostFacts, inputs: &mut Inputs) {
        let wanted = health::wanted_checks(model, facts, inputs);
        if wanted != self.wanted {
            // Checks begin with what an earlier daemon knew, or what is assumed.
            let before = &self.wanted;
            let new = |key: &TargetKey| wanted.contains_key(key) && !before.contains_key(key);
            let known = inputs.health.iter().filter(|(key, _)| new(key));
            let known = known.map(|(key, condition)| (key.clone(), condition.clone()));
            self.checks.assume(known.collect());
            inputs.health.retain(|key, _| wanted.contains_key(key));
            self.checks.follow(wanted.clone());
            self.wanted = wanted;
            self.watch_flows(model, ids);
        }
        self.suspect_unreached(model, facts);
    }

    /// Watches the flows to all targets that are checked.
    fn watch_flows(&mut self, model: &Model, ids: &Ids) {
        let mut before = std::mem::take(&mut self.watched);
        for key in self.wanted.keys() {
            let Some(service) = model.services().get(&key.service) else { continue };
            let Some(index) = ids.target(service, key.address) else { continue };
            let watched = self.watched.entry(index).or_insert_with(|| {
                let is_udp = |listener: &Listener| listener.protocol == Protocol::Udp;
                let symptoms = before.remove(&index).unwrap_or_default().symptoms;
                let has_datagrams = service.listeners.iter().any(is_udp);
                Watched { keys: Vec::new(), has_datagrams, symptoms }
            });
            watched.keys.push(key.clone());
        }
    }

    /// Checks targets at once whose next hop has just stopped answering.
    fn suspect_unreached(&mut self, model: &Model, facts: &HostFacts) {
        let is_unreached = |key: &&TargetKey| {
            let network = model.services().get(&key.service);
            let network = network.and_then(|service| model.networks().get(&service.network));
            network.is_some_and(|network| {
                let link = facts.stack(&network.attachment);
                let hop = link.zip(next_hop(network, key.address));
                hop.is_none_or(|(link, hop)| facts.neighbour(link.index, hop).is_none())
            })
        };
        let unreached = self.wanted.keys().filter(is_unreached).cloned().collect();
        let before = std::mem::replace(&mut self.unreached, unreached);
        for key in self.unreached.difference(&before) {
            self.checks.suspect(key.clone());
        }
    }

    /// Checks targets at once whose new flows go badly, if several parties vouch for that.
    pub fn suspect_by_flows(&mut self, datapath: &Datapath) -> Result<(), bpf::Error> {
        let reader = datapath.reader();
        let indices: Vec<u32> = self.watched.keys().copied().collect();
        let counters = reader.target_counters(&indices)?;
        for ((index, watched), counted) in self.watched.iter_mut().zip(counters) {
            if watched.symptoms.look(counted, watched.has_datagrams) {
                self.inquiry.raise(*index);
            }
        }
        let search = |targets: &BTreeSet<u32>| -> Result<_, bpf::Error> {
            Ok(health::vouched_for(targets, reader.flows(), datapath.now_ticks()?))
        };
        for index in self.inquiry.go_on(Instant::now(), search)? {
            let keys = self.watched.get(&index).into_iter().flat_map(|watched| &watched.keys);
            keys.for_each(|key| self.checks.suspect(key.clone()));
        }
        Ok(())
    }

    /// Applies what checks found out to `inputs`. If the health of some target has changed,
    /// returns the events.
    pub fn accept(
        &self,
        reports: impl Iterator<Item = HealthReport>,
        model: &Model,
        inputs: &mut Inputs,
        now: Timestamp,
    ) -> Option<Vec<Event>> {
        let mut changed = Vec::new();
        // A report may have been under way while its target was removed.
        for HealthReport { key, mut condition } in
            reports.filter(|one| self.wanted.contains_key(&one.key))
        {
            let known = inputs.health.get(&key);
            // The checks know the wall clock, and the state is kept by the gateway's own time.
            condition.since =
                known.filter(|known| known.health == condition.health).map_or(now, |one| one.since);
            if known.map_or(Health::Initial, |known| known.health) != condition.health {
                changed.push((key.clone(), condition.clone()));
            }
            inputs.health.insert(key, condition);
        }
        let events = changed.iter().filter_map(|(key, condition)| event(model, key, condition));
        (!changed.is_empty()).then(|| events.collect())
    }

    /// The targets that can be checked, and whose first check has not ended.
    pub fn unsettled<'a>(&'a self, inputs: &'a Inputs) -> impl Iterator<Item = &'a TargetKey> {
        let all = self.wanted.iter().filter(|(key, check)| {
            let known = inputs.health.get(*key);
            check.obstacle.is_none() && known.is_none_or(|known| known.health == Health::Initial)
        });
        all.map(|(key, _)| key)
    }

    /// One problem for each service whose targets cannot be checked for want of an address.
    pub fn problems(&self) -> BTreeSet<String> {
        let unable = self.wanted.iter().filter_map(|(key, check)| match &check.obstacle {
            Some(obstacle @ Obstacle::NoAddress { .. }) => {
                Some(format!("service {}: targets are not checked: {obstacle}", key.service))
            }
            // These are reported as problems of the network.
            Some(Obstacle::NoInterface(_) | Obstacle::Down(_) | Obstacle::NoVlan { .. }) | None => {
                None
            }
        });
        unable.collect()
    }
}

/// A target's health has changed.
fn event(model: &Model, key: &TargetKey, condition: &Condition) -> Option<Event> {
    let kind = match condition.health {
        Health::Initial => return None,
        Health::Healthy => Kind::TargetHealthy,
        Health::Unhealthy => Kind::TargetUnhealthy,
    };
    let TargetKey { service, address, port } = key;
    let (word, reason) = (condition.health.word(), &condition.reason);
    let text = format!("service {service}: target {address} is {word} on port {port}: {reason}");
    let about = About {
        service: Some(service.to_string()),
        address: Some(address.to_string()),
        reason: Some(reason.clone()),
        ..About::default()
    };
    let mut event = Event::new(kind, text).about(about);
    if let Some(service) = model.services().get(service) {
        event = event.seen_by(&service.principal);
    }
    Some(event)
}
