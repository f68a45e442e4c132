//! What outlives the daemon and the host's reboots: indices, addresses, connections, and what was
//! known of targets.
//!
//! ```text
//! State ─changes─► Store: on disk ─► State, and only then maps and answers
//! ```
//!
//! Whoever changes something computes the state that is wanted, and hands the difference to a
//! [`Store`]. What a store has taken is not lost; what it refuses has not happened.

pub mod addresses;
pub mod connection;
pub mod ids;
mod journal;
mod memory;
mod record;
pub mod targets;

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    host::HostFacts,
    model::{DnsName, Model, Name},
    state::{
        addresses::{Addresses, Latest, Lease, NoAddress},
        connection::{Connection, Connections},
        ids::{Exhausted, Ids},
        targets::{Condition, Drain, Drains, Inputs, Listed, NoRoom, Place, TargetKey},
    },
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
    /// The targets that drain, and until when.
    pub drains: Drains,
    /// What was known of targets. A daemon that starts goes on from there: it neither takes new
    /// flows from those that were well, nor gives any to those that were not.
    pub inputs: Inputs,
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
    /// A target's drain.
    Drain(Place, Option<Drain>),
    /// A target's health.
    Health(TargetKey, Option<Condition>),
    /// The addresses of a name.
    Resolved((Name, DnsName), Option<Vec<IpAddr>>),
    /// What stands in a service's file of targets.
    Listed(Name, Option<Vec<Listed>>),
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
    /// More targets than pools hold.
    #[error(transparent)]
    Pools(#[from] NoRoom),
}

impl State {
    /// Brings everything after a configuration and what is known of targets: what is new gets
    /// indices, addresses and connections, what is gone loses them, and what stays keeps them.
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
        let inputs = inputs.following(model, &self.ids, &self.drains, now);
        let mut drains = self.drains.clone();
        drains.follow(self.ids.targets(), model, &inputs, now);
        self.ids.assign(model, &inputs, &drains)?;
        self.addresses = addresses;
        (self.drains, self.inputs) = (drains, inputs);
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
            Change::Drain(place, drain) => set(&mut self.drains.0, place, drain),
            Change::Health(key, condition) => set(&mut self.inputs.health, key, condition),
            Change::Resolved(key, addresses) => set(&mut self.inputs.resolved, key, addresses),
            Change::Listed(name, listed) => set(&mut self.inputs.listed, name, listed),
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
        changes.extend(different(&self.drains.0, &next.drains.0, Change::Drain));
        changes.extend(self.inputs_to(&next.inputs));
        changes
    }

    /// What to change to know of targets what is known now.
    pub fn inputs_to(&self, next: &Inputs) -> Vec<Change> {
        let old = &self.inputs;
        let mut changes = different(&old.health, &next.health, Change::Health);
        changes.extend(different(&old.resolved, &next.resolved, Change::Resolved));
        changes.extend(different(&old.listed, &next.listed, Change::Listed));
        changes
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn different<K: Clone + Ord, V: Clone + PartialEq>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    change: impl Fn(K, Option<V>) -> Change,
) -> Vec<Change> {
    let put = new.iter().filter(|(key, value)| old.get(*key) != Some(*value));
    let put = put.map(|(key, value)| change(key.clone(), Some(value.clone())));
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    put.chain(gone.map(|key| change(key.clone(), None))).collect()
}

#[cfg(test)]
mod tests;
