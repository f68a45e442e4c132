//! How what is known of targets follows a new configuration.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    drains::Drains,
    inputs::{Condition, Health, Inputs},
    known::{checked, names},
};
use crate::{
    model::{Model, Name},
    state::ids::Ids,
    timestamp::Timestamp,
};

impl Inputs {
    /// The part of this that matters under a configuration. `ids` and `drains` are those of the
    /// configuration before.
    ///
    /// A target that took flows before it was checked, or was checked on another port, stays
    /// healthy until a check fails: a change of the check alone must not cost it its flows.
    #[must_use]
    pub fn following(&self, model: &Model, ids: &Ids, drains: &Drains, now: Timestamp) -> Self {
        let mut next = Self::default();
        for service in model.services().values() {
            for name in names(service) {
                let key = (service.name.clone(), name.clone());
                if let Some(addresses) = self.resolved.get(&key) {
                    next.resolved.insert(key, addresses.clone());
                }
            }
            if let Some(listed) = self.listed.get(&service.name) {
                next.listed.insert(service.name.clone(), listed.clone());
            }
        }
        let mut before: BTreeMap<(&Name, IpAddr), Health> = BTreeMap::new();
        for (key, condition) in &self.health {
            let health = before.entry((&key.service, key.address)).or_insert(condition.health);
            if condition.health == Health::Healthy {
                *health = Health::Healthy;
            }
        }
        for key in checked(model, self).into_keys() {
            let condition = self.health.get(&key).cloned().unwrap_or_else(|| {
                let known = before.get(&(&key.service, key.address)).copied();
                let service = model.services().get(&key.service);
                let had_flows = service.is_some_and(|one| {
                    let drains = drains.of(one, key.address).is_some();
                    ids.target(one, key.address).is_some() && !drains
                });
                match known.unwrap_or(if had_flows { Health::Healthy } else { Health::Initial }) {
                    Health::Healthy => Condition {
                        health: Health::Healthy,
                        since: now,
                        reason: "it took flows before it was checked".into(),
                    },
                    Health::Initial | Health::Unhealthy => Condition {
                        health: Health::Initial,
                        since: now,
                        reason: "no health check has ended yet".into(),
                    },
                }
            });
            next.health.insert(key, condition);
        }
        next
    }
}
