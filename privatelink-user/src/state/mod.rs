//! What outlives the daemon and the host's reboots: indices, addresses and connections.
//!
//! ```text
//! State ─changes─► Store: on disk ─► State, and only then maps and answers
//! ```
//!
//! Whoever changes something computes the state that is wanted, and hands the difference to a
//! [`Store`]. What a store has taken is not lost; what it refuses has not happened.

mod journal;
mod memory;
mod record;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    addresses::{Addresses, Latest, Lease, NoAddress},
    connection::{self, Connection, Connections},
    host::HostFacts,
    ids::{Exhausted, Ids},
    model::{Model, Name},
    targets::Inputs,
    timestamp::Timestamp,
};

pub use journal::{Error, FILE, Journal};
pub use memory::Memory;

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The indices by which maps and flows name things.
    pub ids: Ids,
    /// The addresses that endpoints were given.
    pub addresses: Addresses,
    /// The connections, and who decided what about them.
    pub connections: Connections,
}

/// One part of the state gets another content, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// All indices.
    Ids(Box<Ids>),
    /// An endpoint's addresses.
    Lease(Name, Option<Lease>),
    /// The addresses given out last in a network.
    Latest(Name, Option<Latest>),
    /// An endpoint's connection.
    Connection(Name, Option<Box<Connection>>),
}

/// Where the state is kept.
pub trait Store {
    /// What is kept.
    fn state(&self) -> &State;

    /// Keeps these changes, all of them or none. Once this returns they survive whatever happens
    /// to the daemon or to the host.
    ///
    /// # Errors
    /// When that cannot be had; the state is as it was then.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Error>;
}

/// A configuration asks for more than there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// More things than the maps hold.
    #[error(transparent)]
    Indices(#[from] Exhausted),
    /// More addresses than a network has.
    #[error(transparent)]
    Addresses(#[from] NoAddress),
}

impl State {
    /// Brings everything after a configuration and what is known of targets: what is new in it gets indices, addresses and
    /// connections, what is gone loses them, and what stays keeps them.
    ///
    /// # Errors
    /// When it asks for more than there is; nothing is changed then.
    pub fn follow(
        &mut self,
        model: &Model,
        facts: &HostFacts,
        inputs: &Inputs,
        now: Timestamp,
    ) -> Result<(), TooMuch> {
        let mut addresses = self.addresses.clone();
        addresses.assign(model, facts)?;
        self.ids.assign(model, inputs)?;
        self.addresses = addresses;
        connection::follow(&mut self.connections, model, now);
        Ok(())
    }

    /// Takes in one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Ids(ids) => self.ids = *ids,
            Change::Lease(name, lease) => set(&mut self.addresses.leases, name, lease),
            Change::Latest(name, latest) => set(&mut self.addresses.latest, name, latest),
            Change::Connection(name, connection) => {
                set(&mut self.connections, name, connection.map(|connection| *connection));
            }
        }
    }

    /// What to change to get from this state to another.
    pub fn changes_to(&self, next: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.ids != next.ids {
            changes.push(Change::Ids(Box::new(next.ids.clone())));
        }
        let (old, new) = (&self.addresses, &next.addresses);
        changes.extend(different(&old.leases, &new.leases, Change::Lease));
        changes.extend(different(&old.latest, &new.latest, Change::Latest));
        changes.extend(different(&self.connections, &next.connections, |name, connection| {
            Change::Connection(name, connection.map(Box::new))
        }));
        changes
    }
}

fn set<V>(map: &mut BTreeMap<Name, V>, name: Name, value: Option<V>) {
    match value {
        Some(value) => map.insert(name, value),
        None => map.remove(&name),
    };
}

fn different<V: Clone + PartialEq>(
    old: &BTreeMap<Name, V>,
    new: &BTreeMap<Name, V>,
    change: impl Fn(Name, Option<V>) -> Change,
) -> Vec<Change> {
    let put = new.iter().filter(|(name, value)| old.get(*name) != Some(*value));
    let put = put.map(|(name, value)| change(name.clone(), Some(value.clone())));
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    put.chain(gone.map(|name| change(name.clone(), None))).collect()
}

#[cfg(test)]
mod tests;
