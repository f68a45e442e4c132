//! Whether the names of an endpoint are served.

use std::collections::BTreeSet;

use super::surroundings::Surroundings;
use crate::{
    host::is_link_local,
    model::{Endpoint, Network, Service, naming},
    state::connection::Acceptance,
};

/// What becomes of an endpoint's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// The network is served no names.
    Unwanted,
    /// Names exist while the connection is available.
    NotYet,
    /// All are served.
    All(Vec<String>),
    /// Some are left out.
    Some {
        /// Those that are served.
        served: Vec<String>,
        /// Those that are not.
        missing: Vec<String>,
    },
    /// None is, for this reason.
    None(String),
}

/// Looks whether an endpoint's names are served.
pub fn served(
    around: &Surroundings<'_>,
    endpoint: &Endpoint,
    service: &Service,
    network: &Network,
) -> Served {
    let view = around.view;
    if !network.dns {
        return Served::Unwanted;
    }
    if view.acceptance(endpoint) != Acceptance::Available {
        return Served::NotYet;
    }
    let stack = view.facts.stack(&network.attachment).into_iter();
    let mut own = stack.flat_map(|link| view.facts.own_addresses(link.index));
    if own.all(is_link_local) {
        return Served::None(format!(
            "the gateway has no address of its own in network {}, at which hosts could ask",
            network.name
        ));
    }
    if let Some(problem) = around.names_problems.first() {
        return Served::None(problem.clone());
    }
    let zones = around.names.names.get(network.name.as_str()).into_iter();
    let zones = zones.flat_map(|names| names.zones.values());
    let known: BTreeSet<&str> =
        zones.flat_map(|zone| zone.records.iter().map(|record| record.name.as_str())).collect();
    let all = naming::all(view.model.gateway(), network, service, endpoint);
    let (served, missing): (Vec<String>, Vec<String>) =
        all.into_iter().partition(|name| known.contains(name.as_str()));
    match (served.is_empty(), missing.is_empty()) {
        (true, false) => Served::None("the name server does not have them".into()),
        (_, true) => Served::All(served),
        (false, false) => Served::Some { served, missing },
    }
}
