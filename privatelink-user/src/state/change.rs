//! The difference between two states, part by part: what a journal appends.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    addresses::{LastGiven, Lease},
    connection::Connection,
    ids::{Ids, IndexKind, IndexUse, Sources},
    kept::State,
    keys::{Key, KeyId},
    objects::{Object, ObjectName, ReplyKey, StoredReply},
    targets::{Condition, Drain, Inputs, Listed, ServiceTarget, TargetKey},
};
use crate::model::{DnsName, Name};

/// One part of the state gets another content, or is removed. Serialized into the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// All indices, as older releases read them.
    Ids(Box<Ids>),
    /// One index.
    Index(IndexKind, u32, IndexUse),
    /// The indices of all source addresses.
    Sources(Box<Sources>),
    /// An endpoint's addresses.
    Lease(Name, Option<Lease>),
    /// The addresses that were last assigned in a network.
    Latest(Name, Option<LastGiven>),
    /// An endpoint's connection.
    Connection(Name, Option<Box<Connection>>),
    /// A target's drain.
    Drain(ServiceTarget, Option<Drain>),
    /// A target's health.
    Health(TargetKey, Option<Condition>),
    /// The addresses of a name.
    Resolved((Name, DnsName), Option<Vec<IpAddr>>),
    /// The content of a service's file of targets.
    Listed(Name, Option<Vec<Listed>>),
    /// An access key.
    Key(KeyId, Option<Box<Key>>),
    /// An object of the API.
    Object(ObjectName, Option<Box<Object>>),
    /// The answer to a request that carried a key.
    Reply(ReplyKey, Option<Box<StoredReply>>),
    /// Whether an endpoint was rejected here and nowhere else yet.
    Unpushed(Name, bool),
}

impl Change {
    /// The version of the format that introduced it.
    pub(super) fn version(&self) -> u32 {
        match self {
            Self::Ids(_)
            | Self::Lease(..)
            | Self::Latest(..)
            | Self::Connection(..)
            | Self::Drain(..)
            | Self::Health(..)
            | Self::Resolved(..)
            | Self::Listed(..) => 2,
            // An older daemon gets all indices at once instead.
            Self::Index(..) | Self::Sources(_) => 2,
            Self::Key(..) | Self::Object(..) | Self::Reply(..) | Self::Unpushed(..) => 3,
        }
    }
}

impl State {
    /// Applies one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Ids(ids) => self.ids = *ids,
            Change::Index(kind, index, usage) => self.ids.apply(kind, index, usage),
            Change::Sources(sources) => self.ids.set_source_table(*sources),
            Change::Lease(name, lease) => set(&mut self.addresses.leases, name, lease),
            Change::Latest(name, latest) => set(&mut self.addresses.latest, name, latest),
            Change::Connection(name, connection) => {
                set(&mut self.connections, name, connection.map(|connection| *connection));
            }
            Change::Drain(place, drain) => set(&mut self.drains.0, place, drain),
            Change::Health(key, condition) => set(&mut self.inputs.health, key, condition),
            Change::Resolved(key, addresses) => set(&mut self.inputs.resolved, key, addresses),
            Change::Listed(name, listed) => set(&mut self.inputs.listed, name, listed),
            Change::Key(id, key) => set(&mut self.keys, id, key.map(|key| *key)),
            Change::Object(name, object) => {
                set(&mut self.objects, name, object.map(Arc::from));
            }
            Change::Reply(key, reply) => set(&mut self.replies, key, reply.map(|reply| *reply)),
            Change::Unpushed(name, true) => drop(self.unpushed.insert(name)),
            Change::Unpushed(name, false) => drop(self.unpushed.remove(&name)),
        }
    }

    /// The changes that turn this state into `next`.
    pub fn changes_to(&self, next: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let steps = self.ids.steps_to(&next.ids).into_iter();
        changes.extend(steps.map(|(kind, index, usage)| Change::Index(kind, index, usage)));
        if self.ids.source_table() != next.ids.source_table() {
            changes.push(Change::Sources(Box::new(next.ids.source_table().clone())));
        }
        let (old, new) = (&self.addresses, &next.addresses);
        changes.extend(different(&old.leases, &new.leases, Change::Lease));
        changes.extend(different(&old.latest, &new.latest, Change::Latest));
        changes.extend(different(&self.connections, &next.connections, |name, connection| {
            Change::Connection(name, connection.map(Box::new))
        }));
        changes.extend(different(&self.drains.0, &next.drains.0, Change::Drain));
        changes.extend(self.inputs_to(&next.inputs));
        changes.extend(different(&self.keys, &next.keys, |id, key| {
            Change::Key(id, key.map(Box::new))
        }));
        changes.extend(different(&self.objects, &next.objects, |name, object| {
            Change::Object(name, object.map(|object| Box::new(Object::clone(&object))))
        }));
        changes.extend(different(&self.replies, &next.replies, |key, reply| {
            Change::Reply(key, reply.map(Box::new))
        }));
        let new = next.unpushed.difference(&self.unpushed);
        changes.extend(new.map(|name| Change::Unpushed(name.clone(), true)));
        let gone = self.unpushed.difference(&next.unpushed);
        changes.extend(gone.map(|name| Change::Unpushed(name.clone(), false)));
        changes
    }

    /// The changes that turn what is kept of targets into `next`.
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
