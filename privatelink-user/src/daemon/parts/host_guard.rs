//! The host's own interfaces in the networks: its kernel listens to no tenant there, and where it
//! takes everything, its settings are looked at.

use std::{collections::BTreeSet, path::Path};

use crate::{
    host::{Footprint, HostFacts, exposures},
    model::{Model, Network},
};

/// What was changed about the host's interfaces.
#[derive(Debug)]
pub(in crate::daemon) struct HostGuard {
    footprint: Footprint,
}

impl HostGuard {
    /// Goes on from what daemons before have noted.
    pub fn open(state_dir: &Path) -> Self {
        Self { footprint: Footprint::open(state_dir) }
    }

    /// The interfaces about which something was changed.
    pub fn interfaces(&self) -> BTreeSet<u32> {
        self.footprint.interfaces()
    }

    /// Quietens the interfaces of networks, and gives others their settings back. Returns what does
    /// not work, or is not safe.
    pub fn reconcile(&mut self, model: &Model, facts: &HostFacts) -> Vec<String> {
        let (mut problems, mut ours) = (Vec::new(), BTreeSet::new());
        for network in model.networks().values() {
            let attachment = &network.attachment;
            let Some(link) = facts.link(attachment.interface.as_str()) else { continue };
            ours.insert(link.index);
            let stack = facts.stack(attachment);
            ours.extend(stack.map(|stack| stack.index));
            // An interface that only carries VLANs of networks is the host's, but for its filter.
            let untagged = attachment.vlan.is_none();
            let mut refused = Vec::from_iter(self.footprint.note_filter(link));
            if untagged {
                refused.extend(self.footprint.quieten(link));
            } else if let Some(stack) = stack {
                refused.extend(self.footprint.quieten(stack));
            }
            if let Some(stack) = stack {
                refused.extend(self.footprint.note_neighbours(stack));
                refused.extend(self.footprint.loosen(stack, !network.opens_host()));
            }
            let of = |problem: String| format!("network {}: {problem}", network.name);
            problems.extend(refused.into_iter().map(of));
            if let Some(stack) = stack.filter(|_| network.opens_host()) {
                problems.extend(exposed(model, network, &stack.name));
            }
        }
        problems.extend(self.footprint.release(|index| ours.contains(&index)));
        problems
    }
}

/// What is not safe about a network that the host takes everything from.
fn exposed(model: &Model, network: &Network, interface: &str) -> Vec<String> {
    let others = model.networks().values().filter(|other| other.name != network.name);
    let overlaps = others.flat_map(|other| {
        let both = network.subnets.iter().flat_map(|own| {
            other.subnets.iter().filter(move |its| own.contains(*its) || its.contains(own))
        });
        both.map(|subnet| {
            format!(
                "its subnets overlap with {subnet} of network {}, so the host's answers may go \
                 there; use `host = \"services\"`",
                other.name
            )
        })
        .take(1)
        .collect::<Vec<_>>()
    });
    let found = exposures(interface).into_iter().chain(overlaps);
    found.map(|what| format!("network {} has `host = \"all\"`: {what}", network.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn overlapping_networks_are_not_safe_where_the_host_is_open() {
        let text = "[gateway]\nname = \"gw\"\n\
            [[network]]\nname = \"a\"\nprincipal = \"a\"\ninterface = \"none0\"\nhost = \"all\"\n\
            subnets = [\"10.1.0.0/16\", \"fd00::/64\"]\n\
            [[network]]\nname = \"b\"\nprincipal = \"b\"\ninterface = \"none1\"\n\
            subnets = [\"10.1.7.0/24\"]\n";
        let model = config::from_text("test.toml", text).unwrap().model;
        let [a, b] = model.networks().values().collect::<Vec<_>>()[..] else { panic!() };
        let found = exposed(&model, a, "none0");
        let one =
            "network a has `host = \"all\"`: its subnets overlap with 10.1.7.0/24 of network b";
        assert!(found.iter().any(|problem| problem.starts_with(one)), "{found:?}");
        assert!(!b.opens_host());
    }
}
