//! What the name server is to serve, and where.

use std::collections::{BTreeMap, BTreeSet};

use super::{channel::Place, record::Names, zones::zones};
use crate::{
    host::HostFacts,
    model::Model,
    state::{State, targets::Inputs},
    timestamp::Timestamp,
};

/// What the server is to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The names of each network.
    pub names: BTreeMap<String, Names>,
    /// Where they can be asked for.
    pub places: BTreeSet<Place>,
}

/// Computes what is to be served, and where.
pub fn wanted(
    model: &Model,
    state: &State,
    facts: &HostFacts,
    inputs: &Inputs,
    now: Timestamp,
) -> Wanted {
    let mut wanted = Wanted::default();
    for (name, names) in zones(model, state, facts, inputs, now) {
        let link = facts.link(&names.interface);
        if let Some(link) = link {
            let (network, ifindex) = (name.to_string(), link.index);
            let own = facts.own_addresses(ifindex);
            wanted.places.extend(own.map(|address| Place {
                network: network.clone(),
                ifindex,
                address,
            }));
        }
        wanted.names.insert(name.to_string(), names);
    }
    wanted
}
