//! What the daemon has checked, and what it does with the outcomes.

use std::collections::{BTreeMap, BTreeSet};

use log::info;

use super::running::Running;
use crate::{
    health::{self, Check, Checks, Obstacle, Report, Reports},
    targets::{Health, TargetKey},
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
        let mut changed = false;
        let mut next = Some(report);
        while let Some(report) = next {
            changed |= self.take_report(report);
            next = reports.waiting();
        }
        changed
    }

    fn take_report(&mut self, report: Report) -> bool {
        let Report { key, condition } = report;
        // It may have been on its way while the target was removed.
        if !self.watch.wanted.contains_key(&key) {
            return false;
        }
        let (service, health) = (key.service.clone(), condition.health);
        let (address, port, reason) = (key.address, key.port, condition.reason.clone());
        let before = self.inputs.health.insert(key, condition).map(|before| before.health);
        let changed = before.unwrap_or(Health::Initial) != health;
        if changed {
            let word = health.word();
            info!("service {service}: target {address} is {word} on port {port}: {reason}");
        }
        changed
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
