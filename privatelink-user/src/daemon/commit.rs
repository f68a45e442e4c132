//! Makes a computed state the one that is kept.

use crate::{
    daemon::error::Error,
    datapath::bpf::Datapath,
    events::{Event, of_connections},
    state::{Addition, State, Store},
    timestamp::ClockOffset,
};

/// Commits a state that was computed from the one in `store`; returns what changed about
/// connections.
///
/// Counters of an index that changes its meaning are cleared first: if the daemon dies in between,
/// no thing shows the counts of another.
pub(super) fn commit(
    store: &mut dyn Store,
    datapath: &Datapath,
    next: &State,
    ahead: ClockOffset,
) -> Result<Vec<Event>, Error> {
    let before = &store.state().ids;
    let ids = &next.ids;
    datapath.forget_counts(&ids.reused_endpoints(before), &ids.reused_targets(before))?;
    let changes = store.state().changes_to(next);
    let events = of_connections(&store.state().connections, &next.connections, ahead);
    store.commit(changes)?;
    Ok(events)
}

/// Commits what endpoints that are added need; `before` is what is there of the parts that it names
/// in full. Returns what is new about connections.
pub(super) fn commit_addition(
    store: &mut dyn Store,
    datapath: &Datapath,
    before: &State,
    added: &Addition,
    ahead: ClockOffset,
) -> Result<Vec<Event>, Error> {
    let part = &added.part;
    datapath.forget_counts(&added.reused, &[])?;
    let events = of_connections(&before.connections, &part.connections, ahead);
    store.commit(before.changes_to(part))?;
    Ok(events)
}
