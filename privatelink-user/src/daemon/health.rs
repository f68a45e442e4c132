//! What the daemon has checked, and what it does with the outcomes.

use std::collections::{BTreeMap, BTreeSet};

use super::running::Running;
use crate::{
    events::{About, Event, Kind},
    health::{self, Check, Checks, Obstacle, Report, Reports},
    targets::{Condition, Health, TargetKey},
};

/// The checks that run, and what they were told.
#[derive(Debug)]
pub(super) struct Watch {
    checks: Checks,
    wanted: BTreeMap<TargetKey, Check>,
}

impl Watch {
    /// Nothing is checked yet.
    pub fn over(checks: Checks) -> Self {
        Self { checks, wanted: BTreeMap::new() }
    }
}

impl Running {
    /// Has those targets checked that the configuration wants to be.
    pub(super) fn follow_checks(&mut self) {
        let wanted = health::wanted(&self.loaded.model, self.host.facts(), &self.inputs);
        if wanted == self.watch.wanted {
            return;
        }
        self.inputs.health.retain(|key, _| wanted.contains_key(key));
        self.watch.checks.follow(wanted.clone());
        self.watch.wanted = wanted;
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
    pub(super) fn is_checked(&self) -> bool {
        let mut wanted = self.watch.wanted.iter();
        wanted.all(|(key, check)| {
            let known = self.inputs.health.get(key);
            check.obstacle.is_some() || known.is_some_and(|known| known.health != Health::Initial)
        })
    }

    /// Which services' targets cannot be checked for want of an address.
    pub(super) fn check_problems(&self) -> BTreeSet<String> {
        let wanted = self.watch.wanted.iter();
        let unable = wanted.filter_map(|(key, check)| match &check.obstacle {
            Some(obstacle @ Obstacle::NoAddress { .. }) => {
                Some(format!("service {}: targets are not checked: {obstacle}", key.service))
            }
            // These are told of the network.
            Some(Obstacle::NoInterface(_) | Obstacle::Down(_)) | None => None,
        });
        unable.collect()
    }
}
