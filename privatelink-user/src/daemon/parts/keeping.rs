//! What the disk has refused to keep, until it keeps it.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use crate::{
    chain::Chain,
    daemon::{commit::commit, error::Error},
    datapath::bpf::Datapath,
    events::Event,
    host::HostFacts,
    model::Model,
    state::{Store, targets::Inputs},
    timestamp::Moment,
};

/// The least time between two attempts to write what the disk has refused.
const PAUSE: Duration = Duration::from_secs(2);

/// When to try again, and what the last attempt said.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Keeping {
    tried: Option<Instant>,
    problem: Option<String>,
}

/// What became of an attempt.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Attempt {
    /// What changed about connections.
    pub events: Vec<Event>,
    /// Whether the disk keeps the state again, so that names of indices may be new.
    pub recovered: bool,
}

impl Keeping {
    /// Whether it is time to try again to write what the disk has refused.
    pub fn is_due(&self, store: &dyn Store, now: Instant) -> bool {
        store.is_behind() && self.tried.is_none_or(|tried| now >= tried + PAUSE)
    }

    /// Tries to write what the disk has refused, and what the configuration wants since.
    pub fn reconcile(
        &mut self,
        model: &Model,
        facts: &HostFacts,
        inputs: &mut Inputs,
        store: &mut dyn Store,
        datapath: &Datapath,
        at: Moment,
    ) -> Attempt {
        if !store.is_behind() {
            *self = Self::default();
            return Attempt::default();
        }
        let now = Instant::now();
        if !self.is_due(store, now) {
            return Attempt::default();
        }
        self.tried = Some(now);
        match keep(model, facts, inputs, store, datapath, at) {
            Ok(events) => {
                *self = Self::default();
                Attempt { events, recovered: true }
            }
            Err(error) => {
                let error = Chain(&error);
                let text = "decisions are refused, and what is new in the configuration is not \
                            served";
                self.problem = Some(format!("{text}: {error}"));
                Attempt::default()
            }
        }
    }

    /// What does not work.
    pub fn problem(&self, store: &dyn Store) -> Option<String> {
        self.problem.clone().filter(|_| store.is_behind())
    }
}

fn keep(
    model: &Model,
    facts: &HostFacts,
    inputs: &mut Inputs,
    store: &mut dyn Store,
    datapath: &Datapath,
    at: Moment,
) -> Result<Vec<Event>, Error> {
    let mut next = store.state().clone();
    let beside = store.beside(None, BTreeSet::new());
    next.follow_beside(model, facts, inputs, at.now, &beside)?;
    let events = commit(store, datapath, &next, at.ahead)?;
    *inputs = next.inputs;
    Ok(events)
}
