//! Targets: what is known of them is kept, new flows are spread over them, drains are followed.

use std::collections::BTreeSet;

use log::error;

use crate::{
    chain::Chain,
    daemon::{commit::commit, error::Error},
    datapath::{bpf::Datapath, tables::MapTables},
    desired::Pools,
    events::{Event, of_drained, of_drains},
    host::HostFacts,
    model::Model,
    state::{
        State, Store, TooMuch,
        ids::Ids,
        targets::{Inputs, NoRoom},
    },
    timestamp::{Moment, Timestamp},
};

/// Which targets take the new flows of which listener.
#[derive(Debug)]
pub(in crate::daemon) struct Targets {
    pools: Pools,
    /// The services whose targets find no room.
    without_room: Vec<NoRoom>,
    /// Drains that ended until then have been reported.
    drains_reported_until: Timestamp,
}

impl Targets {
    /// No pools yet. Drains that ended before `now` are not reported.
    pub fn new(now: Timestamp) -> Self {
        let (pools, without_room) = (Pools::default(), Vec::new());
        Self { pools, without_room, drains_reported_until: now }
    }

    /// The pools in force.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Follows what is known of targets; returns the events, and a problem if the disk refuses.
    ///
    /// That changes nothing about who gets new flows: health counts even so.
    pub fn reconcile(
        &mut self,
        model: &Model,
        facts: &HostFacts,
        inputs: &mut Inputs,
        store: &mut dyn Store,
        datapath: &Datapath,
        at: Moment,
    ) -> (Vec<Event>, Option<String>) {
        let now = at.now;
        let from = std::mem::replace(&mut self.drains_reported_until, now);
        let mut events = of_drained(model, &store.state().drains, from, now);
        match keep(model, facts, inputs, store, datapath, at) {
            Ok(changes) => {
                events.extend(changes);
                (events, None)
            }
            Err(error) => {
                let text = format!("cannot keep what is known of targets: {}", Chain(&error));
                error!("{text}");
                (events, Some(text))
            }
        }
    }

    /// Rearranges the pools for what is known of targets. `actual` is what the maps hold.
    pub fn arrange(&mut self, model: &Model, ids: &Ids, inputs: &Inputs, actual: &MapTables) {
        self.without_room = self.pools.arrange(model, ids, inputs, actual);
    }

    /// The pools under another configuration, if there is room for them.
    pub fn rearranged(
        &self,
        model: &Model,
        state: &State,
        actual: Option<&MapTables>,
    ) -> Result<Pools, TooMuch> {
        let mut pools = self.pools.clone();
        let none = MapTables::default();
        let without_room = pools.arrange(model, &state.ids, &state.inputs, actual.unwrap_or(&none));
        without_room.into_iter().next().map_or(Ok(pools), |service| Err(service.into()))
    }

    /// One problem for each service whose targets find no room.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        self.without_room.iter().map(NoRoom::to_string)
    }
}

/// Keeps what is known of targets, begins the drain of those that have left names and files, and
/// forgets those that have drained.
fn keep(
    model: &Model,
    facts: &HostFacts,
    inputs: &mut Inputs,
    store: &mut dyn Store,
    datapath: &Datapath,
    at: Moment,
) -> Result<Vec<Event>, Error> {
    let now = at.now;
    let state = store.state();
    let known = &state.inputs;
    let moved = (&known.resolved, &known.listed) != (&inputs.resolved, &inputs.listed);
    if moved || state.drains.is_due(model, inputs, now) {
        let before = state.drains.clone();
        let mut next = state.clone();
        let beside = store.beside(None, BTreeSet::new());
        next.follow_beside(model, facts, inputs, now, &beside)?;
        let mut events = commit(store, datapath, &next, at.ahead)?;
        *inputs = next.inputs;
        events.extend(of_drains(model, &before, &store.state().drains, at));
        return Ok(events);
    }
    if known.health != inputs.health {
        let changes = state.inputs_to(inputs);
        store.commit(changes)?;
    }
    Ok(Vec::new())
}
