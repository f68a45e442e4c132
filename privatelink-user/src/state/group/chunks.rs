//! Changes in transactions that etcd accepts, each of which leads to a valid state.

use super::{
    known::Known,
    layout::{KeyChange, Layout, Place},
};
use crate::{
    etcd::{Transaction, Write},
    state::{addresses::Addresses, change::Change, objects::Kind},
};

/// The most keys of a transaction: etcd takes 128 operations unless told otherwise, and one is the
/// structure's.
const KEYS: usize = 100;
/// The most bytes of values: etcd takes requests of 1.5 MiB unless told otherwise.
const BYTES: usize = 1024 * 1024;

/// Changes that are made by one transaction.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The changes.
    pub changes: Vec<Change>,
    /// The keys that they write.
    pub keys: Vec<KeyChange>,
    /// Whether they touch the structure.
    pub is_structural: bool,
}

impl Chunk {
    /// The transaction, for keys as they are known now.
    pub fn transaction(&self, layout: &Layout, known: &Known) -> Transaction {
        let mut transaction = Transaction::default();
        let mut write = |key: &str, value: &Option<bytes::Bytes>| {
            transaction.guards.push(known.guard(key));
            transaction.writes.push(match value {
                Some(value) => Write::Put { key: key.to_owned(), value: value.clone(), lease: 0 },
                None => Write::Delete { key: key.to_owned() },
            });
        };
        self.keys.iter().for_each(|(key, value)| write(key, value));
        if self.is_structural {
            write(&layout.key(&Place::Structure), &Some("1".into()));
        }
        transaction
    }

    fn bytes(&self) -> usize {
        self.keys
            .iter()
            .map(|(key, value)| key.len() + value.as_ref().map_or(0, bytes::Bytes::len))
            .sum()
    }
}

/// Puts the group's changes into chunks; returns the others beside them.
pub(super) fn divide(
    changes: Vec<Change>,
    layout: &Layout,
    addresses: &Addresses,
) -> serde_json::Result<(Vec<Chunk>, Vec<Change>)> {
    let mut shared = Vec::new();
    let mut own = Vec::new();
    for change in changes {
        match layout.written(&change, addresses)? {
            Some(keys) => shared.push((rank(&change), change, keys)),
            None => own.push(change),
        }
    }
    // Stable: steps of one index stay in their order.
    shared.sort_by_key(|(rank, ..)| *rank);
    let mut chunks: Vec<Chunk> = Vec::new();
    for (_, change, keys) in shared {
        let next = Chunk { keys, is_structural: is_structural(&change), changes: vec![change] };
        let fits = |last: &Chunk| {
            let is_twice =
                next.keys.iter().any(|(key, _)| last.keys.iter().any(|(it, _)| it == key));
            !is_twice
                && last.keys.len() + next.keys.len() <= KEYS
                && last.bytes() + next.bytes() <= BYTES
        };
        if let Some(last) = chunks.last_mut().filter(|last| fits(last)) {
            last.changes.extend(next.changes);
            last.keys.extend(next.keys);
            last.is_structural |= next.is_structural;
        } else {
            chunks.push(next);
        }
    }
    Ok((chunks, own))
}

/// The order of changes: what refers to others is removed before them, and made after them.
fn rank(change: &Change) -> u8 {
    match change {
        Change::Connection(_, None) => 0,
        Change::Object(name, None) => 1 + u8::from(name.kind == Kind::Service),
        Change::Lease(_, None) => 3,
        Change::Index(..) => 4,
        Change::Lease(_, Some(_)) => 5,
        Change::Object(name, Some(_)) => 6 + u8::from(name.kind == Kind::Endpoint),
        Change::Connection(_, Some(_))
        | Change::Key(..)
        | Change::Reply(..)
        | Change::Ids(_)
        | Change::Sources(_)
        | Change::Latest(..)
        | Change::Drain(..)
        | Change::Health(..)
        | Change::Resolved(..)
        | Change::Listed(..)
        | Change::Unpushed(..) => 8,
    }
}

fn is_structural(change: &Change) -> bool {
    match change {
        Change::Connection(_, connection) => connection.is_none(),
        Change::Key(..) | Change::Reply(..) => false,
        Change::Ids(_)
        | Change::Index(..)
        | Change::Sources(_)
        | Change::Lease(..)
        | Change::Latest(..)
        | Change::Drain(..)
        | Change::Health(..)
        | Change::Resolved(..)
        | Change::Listed(..)
        | Change::Object(..)
        | Change::Unpushed(..) => true,
    }
}
