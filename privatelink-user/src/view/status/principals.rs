//! How much principals have, and may have.

use std::collections::BTreeMap;

use super::Overview;
use crate::{
    interface::types::{Owned, PrincipalQuota, PrincipalUse},
    model::{Name, Principal, owned, quota},
};

impl Overview<'_> {
    /// Every principal that has something or has a quota, as far as it may be seen.
    pub fn principal_uses(&self) -> Vec<PrincipalUse> {
        let model = self.model;
        let mut flows: BTreeMap<&Name, u64> = BTreeMap::new();
        for endpoint in self.seen_endpoints() {
            if let Some(network) = model.networks().get(&endpoint.network) {
                *flows.entry(&network.principal).or_default() += self.flows_through(endpoint);
            }
        }
        let mut all: BTreeMap<&Name, PrincipalUse> = BTreeMap::new();
        let owned = owned::owned(model.networks(), model.services(), model.endpoints());
        for (name, owned::Owned { services, endpoints, targets }) in owned {
            let flows = flows.get(name).copied().unwrap_or(0);
            all.entry(name).or_default().used = Owned { services, endpoints, targets, flows };
        }
        for principal in model.principals().values() {
            all.entry(&principal.name).or_default().quota = limits(principal);
        }
        let seen = all.into_iter().filter(|(name, _)| self.rights.include(name));
        seen.map(|(name, one)| PrincipalUse { name: name.to_string(), ..one }).collect()
    }
}

fn limits(principal: &Principal) -> PrincipalQuota {
    let quota = &principal.quota;
    let count = |count: Option<quota::Count>| count.map(|count| count.get().into());
    PrincipalQuota {
        services: count(quota.services),
        endpoints: count(quota.endpoints),
        targets: count(quota.targets),
        flows: quota.flows.map(|flows| flows.get()),
    }
}
