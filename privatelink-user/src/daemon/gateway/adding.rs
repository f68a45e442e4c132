//! Endpoints that a request adds and that change nothing else: a gateway with ten thousand of them
//! does not look at all of them again for one more.
//!
//! What packets meet is written before the answer. What follows from an endpoint besides (names,
//! announcements, metrics) follows with the next convergence, which comes as soon as no more
//! requests of this kind do. Each step that cannot be sure leaves the request to the path that looks
//! at everything.

use super::{Gateway, writing::said};
use crate::{
    access::Caller,
    api::request::{Refused, Write},
    chain::Chain,
    config::{self, Addition},
    daemon::{commit::commit_addition, snapshot::failed},
    datapath::tables::MapTables,
    desired::desired_of_added,
    events::{Event, Kind as EventKind},
    host::addresses_at,
    interface::types::{Difference, Written},
    model::{Endpoint, Name},
    objects::{Outcome, Writing},
    state::{
        self, State,
        connection::{self, rules_of},
        objects::{Kind, Objects},
    },
    view::difference,
};

/// More endpoints than this in one request are worth a look at everything.
const FEW: usize = 16;

/// Everything that the addition of some endpoints means.
pub(super) struct Added {
    names: Vec<Name>,
    state: state::Addition,
    tables: MapTables,
    difference: Difference,
}

impl Gateway {
    /// What the request adds, if it adds endpoints and surely changes nothing else. They are in the
    /// model from then on; [`Self::add`] takes them back if it fails.
    pub(super) fn try_adding(&mut self, writing: &Writing) -> Option<Added> {
        let objects = added_endpoints(writing)?;
        // What gateways share another one may change meanwhile, and then all of it is worked out anew.
        if self.store.as_ref().is_behind() || self.store.group().is_some() {
            return None;
        }
        let Addition { endpoints, warnings } =
            config::addition(&self.model, &objects, &addresses_at)?;
        let (facts, now) = (self.host.facts(), self.clock.moment().now);
        let mut state = self.store.state().adding(&self.model, &endpoints, facts, now)?;
        // Such an end is written for the kernel before anything else.
        let ends = |endpoint: &Endpoint| {
            let rules = rules_of(&self.model, endpoint).map(|(_, rules)| rules);
            let connection = state.part.connections.get(&endpoint.name);
            connection.zip(rules).is_none_or(|(one, rules)| one.ends(&rules, now).is_some())
        };
        if endpoints.iter().any(ends) {
            return None;
        }
        state.part.objects = objects;
        let changes = endpoints.iter().map(difference::of_added).collect();
        let warnings = warnings.lines(|_, _| true);
        let names: Vec<Name> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
        self.model.add(endpoints);
        let tables = desired_of_added(&self.model, &state.part, facts, &names, now);
        let entries = tables.as_ref().and_then(|tables| self.maps.count_additions(tables));
        let Some((tables, entries)) = tables.zip(entries) else {
            self.model.remove(&names);
            return None;
        };
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        let difference = Difference { changes, entries, warnings, ..Difference::default() };
        Some(Added { names, state, tables, difference })
    }

    /// Keeps what is added, and writes it to the maps.
    pub(super) fn add(
        &mut self,
        caller: &Caller,
        write: &Write,
        writing: &Writing,
        mut added: Added,
        mut written: Written,
    ) -> Result<Written, Refused> {
        written.difference = std::mem::take(&mut added.difference);
        if let Err(refused) = self.keep(caller, write, &mut added, &written) {
            self.model.remove(&added.names);
            return Err(refused);
        }
        self.origins.add(added.state.part.objects.keys());
        let requests = &added.state.part.connections;
        let expiry = connection::deadline(requests, &self.model, self.clock.moment().now);
        self.deadline = self.deadline.into_iter().chain(expiry).min();
        self.records.name_added(&self.model, &self.store.state().ids, &added.names);
        let text = said(caller, writing);
        self.events.publish(Event::new(EventKind::ConfigurationApplied, text));
        let changed = self.maps.add(added.tables).map_err(|error| {
            let error = Chain(&error);
            Refused::Failed(format!("written, but not yet in force; retrying: {error}"))
        })?;
        self.note_changed(changed);
        self.rest_is_due = true;
        Ok(written)
    }

    fn keep(
        &mut self,
        caller: &Caller,
        write: &Write,
        added: &mut Added,
        written: &Written,
    ) -> Result<(), Refused> {
        let replies = self.store.state().replies.clone();
        added.state.part.replies.clone_from(&replies);
        self.remember(&mut added.state.part.replies, caller, write, written)?;
        let ids = self.store.state().ids.clone();
        let before = State { ids, replies, ..State::default() };
        let ahead = self.clock.moment().ahead;
        let (store, datapath) = (self.store.as_mut(), &self.datapath);
        let events = commit_addition(store, datapath, &before, &added.state, ahead);
        self.events.publish_all(events.map_err(failed)?);
        Ok(())
    }

    /// Whether something other than packets waits for the next convergence since the last call.
    pub fn take_rest(&mut self) -> bool {
        std::mem::take(&mut self.rest_is_due)
    }
}

/// The endpoints that a request adds, if it adds a few and does nothing else.
fn added_endpoints(writing: &Writing) -> Option<Objects> {
    let mut added = Objects::new();
    for (name, outcome) in &writing.outcomes {
        match (name.kind, outcome) {
            (_, Outcome::Unchanged) => {}
            (Kind::Endpoint, Outcome::Added) => {
                added.insert(name.clone(), writing.objects.get(name)?.clone());
            }
            (Kind::Endpoint | Kind::Service, _) => return None,
        }
    }
    (1..=FEW).contains(&added.len()).then_some(added)
}
