//! Prepares tests of endpoints' ways: decides who may test what, and copies what is known.

use std::net::IpAddr;

use super::Gateway;
use crate::{
    access::{Caller, Denied, Rights},
    api::request::Refused,
    daemon::snapshot::failed,
    interface::types::TestQuery,
    model::{Endpoint, Model, Network},
    state::connection::Parties,
    trial::{Subject, Surroundings, Trial, Viewer},
    view::flows::FlowCounts,
};

impl Gateway {
    /// Prepares a test of an endpoint's way, which is run beside the daemon's loop.
    pub fn prepare_trial(
        &mut self,
        caller: &Caller,
        name: &str,
        query: &TestQuery,
    ) -> Result<Trial, Refused> {
        let (endpoint, viewer) = find(&self.model, &caller.rights, name)?;
        if let Some(from) = query.from {
            admit_client(&self.model, caller, endpoint, from)?;
        }
        if !self.trials.admit(&caller.rights) {
            return Err(Refused::Failed("too many tests; try again in some seconds".into()));
        }
        let now = self.snapshot();
        let reader = now.reader();
        let index = now.state.ids.endpoint(endpoint);
        let mut counts = FlowCounts::default();
        counts.endpoints.extend(
            index.map(|index| (index, reader.active_flows(&[index]).first().copied().unwrap_or(0))),
        );
        let around = Surroundings {
            view: &now.view(&Rights::All, &counts),
            tables: now.tables,
            names: now.dns.wanted(),
            names_problems: now.dns.problems(),
            drops: reader.endpoint_drops().map_err(failed)?,
            conflicts: self.conflicts.known(),
        };
        let gone = || Refused::Failed(format!("endpoint {name} has no service or no network"));
        let subject = Subject::of(&around, endpoint).ok_or_else(gone)?;
        let stage = self.trials.stage();
        Ok(Trial { subject, viewer, from: query.from, port: query.port, stage })
    }
}

/// Finds an endpoint, and which of its sides the caller may see.
fn find<'m>(
    model: &'m Model,
    rights: &Rights,
    name: &str,
) -> Result<(&'m Endpoint, Viewer), Refused> {
    let seen = |endpoint: &Endpoint| {
        let parties = Parties::of(model, endpoint)?;
        match (rights.include(&parties.consumer), rights.include(&parties.provider)) {
            (true, true) => Some(Viewer::Both),
            (true, false) => Some(Viewer::Consumer),
            (false, true) => Some(Viewer::Provider),
            (false, false) => None,
        }
    };
    let found = model.endpoints().get(name);
    found.and_then(|endpoint| Some((endpoint, seen(endpoint)?))).ok_or_else(|| {
        let all = model.endpoints().values().filter(|endpoint| seen(endpoint).is_some());
        Refused::unknown("endpoint", name, all.map(|endpoint| endpoint.name.as_str()))
    })
}

/// Checks that the caller may try packets of a client.
fn admit_client(
    model: &Model,
    caller: &Caller,
    endpoint: &Endpoint,
    from: IpAddr,
) -> Result<(), Refused> {
    let network = model.networks().get(&endpoint.network);
    let Some(network) = network.filter(|network| caller.rights.see_network(network)) else {
        let consumer = Parties::of(model, endpoint).map(|parties| parties.consumer);
        let consumer = consumer.unwrap_or_else(|| endpoint.network.clone());
        return Err(Denied::Consumer { who: caller.author.clone(), consumer }.into());
    };
    if network.clients().any(|range| range.contains(&from)) {
        return Ok(());
    }
    let ranges: Vec<String> = Network::clients(network).map(|range| range.to_string()).collect();
    Err(Refused::Failed(format!(
        "{from} is no client of network {}: use an address in {}",
        network.name,
        ranges.join(", ")
    )))
}
