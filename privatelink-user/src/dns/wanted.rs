//! The names that the name server should serve, and its listen addresses.

use std::collections::{BTreeMap, BTreeSet};

use super::{channel::ListenAddress, record::ServedNames, zones::zones};
use crate::{
    host::HostFacts,
    model::Model,
    state::{State, targets::Inputs},
    timestamp::Timestamp,
};

/// What the name server should serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedNames {
    /// The names of each network.
    pub names: BTreeMap<String, ServedNames>,
    /// The addresses to listen on.
    pub listen_addresses: BTreeSet<ListenAddress>,
}

/// Computes what the name server should serve.
pub fn wanted_names(
    model: &Model,
    state: &State,
    facts: &HostFacts,
    inputs: &Inputs,
    now: Timestamp,
) -> WantedNames {
    let mut wanted = WantedNames::default();
    for (name, names) in zones(model, state, facts, inputs, now) {
        let link = facts.link(&names.interface);
        if let Some(link) = link {
            let (network, ifindex) = (name.to_string(), link.index);
            let own = facts.own_addresses(ifindex);
            wanted.listen_addresses.extend(own.map(|address| ListenAddress {
                network: network.clone(),
                ifindex,
                address,
            }));
        }
        wanted.names.insert(name.to_string(), names);
    }
    wanted
}
