//! What the group's keys make of the state that is kept here.

use std::collections::BTreeMap;

use log::warn;

use super::layout::{Layout, Place};
use crate::{
    chain::Chain,
    etcd::{Entry, Event},
    state::{
        addresses::Addresses,
        change::Change,
        connection::{Connection, Standing},
        kept::State,
    },
};

/// The state as the group has it, with what is this gateway's own as it was.
///
/// A rejection that the group has not learned of outranks what it has: denial is the safe direction.
pub(super) fn whole(layout: &Layout, entries: &[Entry], before: &State) -> State {
    let mut next = State {
        ids: before.ids.own_part(),
        addresses: Addresses { latest: before.addresses.latest.clone(), ..Addresses::default() },
        drains: before.drains.clone(),
        inputs: before.inputs.clone(),
        ..State::default()
    };
    let mut entries: Vec<&Entry> = entries.iter().collect();
    // As they were written, so that indices are used again in the order in which they were freed.
    entries.sort_by_key(|entry| entry.revision);
    let mut latest = next.addresses.latest.clone();
    for entry in entries {
        let Some(place) = layout.place(&entry.key) else { continue };
        for change in read(layout, place, Some(&entry.value), &next.addresses) {
            next.apply(change);
        }
    }
    // The order of entries says nothing about where to look for the next address.
    std::mem::swap(&mut next.addresses.latest, &mut latest);
    next.addresses.latest.extend(
        latest.into_iter().filter(|(network, _)| !before.addresses.latest.contains_key(network)),
    );
    for name in &before.unpushed {
        let own = before.connections.get(name).filter(|one| is_rejection(one));
        let theirs = next.connections.get(name);
        if let (Some(own), Some(theirs)) = (own, theirs)
            && own.parties == theirs.parties
        {
            next.connections.insert(name.clone(), own.clone());
            next.unpushed.insert(name.clone());
        }
    }
    next
}

/// The changes that others' events make of the state.
pub(super) fn changes(layout: &Layout, events: &[Event], state: &State) -> Vec<Change> {
    let mut addresses = None;
    let mut changes = Vec::new();
    for event in events {
        let (key, value) = match event {
            Event::Put(entry) => (&entry.key, Some(&entry.value[..])),
            Event::Deleted { key, .. } => (key, None),
        };
        let Some(place) = layout.place(key) else { continue };
        if let Place::Connection(name) = &place
            && state.unpushed.contains(name)
            && value.is_some()
        {
            continue;
        }
        // Each address is looked at after those before it.
        let moved = matches!(place, Place::Address(..));
        let known = if moved {
            addresses.get_or_insert_with(|| state.addresses.clone())
        } else {
            &state.addresses
        };
        let read = read(layout, place, value, known);
        if moved && let Some(known) = &mut addresses {
            let mut scratch = State { addresses: std::mem::take(known), ..State::default() };
            read.iter().cloned().for_each(|change| scratch.apply(change));
            *known = scratch.addresses;
        }
        changes.extend(read);
    }
    changes
}

fn read(layout: &Layout, place: Place, value: Option<&[u8]>, known: &Addresses) -> Vec<Change> {
    layout.read(place, value, known).unwrap_or_else(|error| {
        warn!("{}: was it written by a newer release?", Chain(&error));
        Vec::new()
    })
}

fn is_rejection(connection: &Connection) -> bool {
    matches!(connection.standing, Standing::Rejected { .. })
}

/// The connections that changes are about, as they are.
pub(super) fn connections_of(
    changes: &[Change],
    state: &State,
) -> BTreeMap<crate::model::Name, Connection> {
    let names = changes.iter().filter_map(|change| {
        let Change::Connection(name, _) = change else { return None };
        state.connections.get_key_value(name)
    });
    names.map(|(name, connection)| (name.clone(), connection.clone())).collect()
}
