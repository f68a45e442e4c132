//! The ordered difference between two contents of the maps.
//!
//! Packets flow while a plan is applied, so the order is the point: whatever an entry refers to
//! is written before the entry and removed after it. Pure: nothing here reads or writes a map.

use std::collections::BTreeMap;

use privatelink_common::{Listener, Pool};

use super::{
    op::{Change, Op},
    store::{MapStore, StoreError},
    tables::{Kind, MapTables, for_each_map},
};

/// The writes that turn one content of the maps into another, in the order in which they are
/// safe while packets flow: puts from what is referred to towards what refers, then removals the
/// other way round. Values that differ are replaced in place.
///
/// After every prefix of a plan between two consistent contents, no entry refers to an absent
/// one, and no listener of one service has a backend of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    ops: Vec<Op>,
}

impl Plan {
    /// The difference: what to do to `actual` to make it `desired`.
    ///
    /// A zero value in an array is the same as no entry, because the kernel cannot tell them
    /// apart.
    pub fn between(actual: &MapTables, desired: &MapTables) -> Self {
        let mut ops = puts(actual, desired);
        if let Some(first) = ops.iter().position(|op| put_backend(op).is_some()) {
            let closures = closures(actual, desired, &ops);
            ops.splice(first..first, closures);
        }
        // Found in the order of puts; removed the other way round.
        ops.extend(removals(actual, desired).into_iter().rev());
        Self { ops }
    }

    /// Only the puts of [`Self::between`]: what to do to `actual` so that it holds `added` as well.
    pub fn adding(actual: &MapTables, added: &MapTables) -> Self {
        Self { ops: puts(actual, added) }
    }

    /// The writes, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// How many writes there are.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Does the writes, and stops at the first failure: what is left is in the next difference.
    ///
    /// # Errors
    /// The failure of one write; those before it are done.
    pub fn apply(&self, store: &mut impl MapStore) -> Result<(), StoreError> {
        let mut waited = false;
        self.ops.iter().try_for_each(|op| {
            // A program that has read a listener as it was may be about to read the listener's
            // part of this table. The listener was changed by an earlier write, so one wait is
            // enough for all of these removals.
            if matches!(op, Op::Backend(Change::Remove(_))) && !waited {
                store.quiesce();
                waited = true;
            }
            store.apply(op)
        })
    }
}

/// Listeners that must take no new flow while their part of the backend table gets other
/// content: those that change or go, and whose pool one of `puts` writes into. With an empty pool
/// they refuse new flows, which is better than sending them to another service's targets.
fn closures(actual: &MapTables, desired: &MapTables, puts: &[Op]) -> Vec<Op> {
    let mut written: Vec<u32> = puts.iter().filter_map(put_backend).collect();
    written.sort_unstable();
    let touches = |pool: Pool| {
        let next = written.partition_point(|index| *index < pool.first);
        written.get(next).is_some_and(|index| index - pool.first < pool.count)
    };
    actual
        .listeners
        .iter()
        .filter(|(key, listener)| desired.listeners.get(*key) != Some(*listener))
        .filter(|(_, listener)| touches(listener.backends_v4) || touches(listener.backends_v6))
        .map(|(key, listener)| {
            let none = Pool::default();
            let closed = Listener { backends_v4: none, backends_v6: none, ..*listener };
            Op::Listener(Change::Put(*key, closed))
        })
        .collect()
}

fn put_backend(op: &Op) -> Option<u32> {
    if let Op::Backend(Change::Put(index, _)) = op { Some(*index) } else { None }
}

macro_rules! define_differences {
    ($($(#[$doc:meta])* $variant:ident $field:ident: $kind:ident $(<$($of:ty),+>)? = $name:ident;)+) => {
        /// The entries of `desired` that `actual` lacks or holds with another value, map by map
        /// in the order of the list.
        fn puts(actual: &MapTables, desired: &MapTables) -> Vec<Op> {
            let mut ops = Vec::new();
            $(ops.extend(
                put_changes(Kind::$kind, &actual.$field, &desired.$field).map(Op::$variant),
            );)+
            ops
        }

        /// The entries of `actual` that `desired` lacks, map by map in the order of the list.
        fn removals(actual: &MapTables, desired: &MapTables) -> Vec<Op> {
            let mut ops = Vec::new();
            $(ops.extend(
                removal_changes(Kind::$kind, &actual.$field, &desired.$field).map(Op::$variant),
            );)+
            ops
        }
    };
}
for_each_map!(define_differences);

fn put_changes<K: Copy + Ord, V: Copy + Default + PartialEq>(
    kind: Kind,
    actual: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
) -> impl Iterator<Item = Change<K, V>> {
    let present = move |value: &V| Some(*value).filter(|value| !kind.is_absent(value));
    desired
        .iter()
        .filter(move |(key, value)| actual.get(*key).and_then(present) != present(value))
        .map(|(key, value)| Change::Put(*key, *value))
}

fn removal_changes<K: Copy + Ord, V: Copy + Default + PartialEq>(
    kind: Kind,
    actual: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
) -> impl Iterator<Item = Change<K, V>> {
    actual
        .iter()
        .filter(move |(key, value)| !desired.contains_key(*key) && !kind.is_absent(*value))
        .map(|(key, _)| Change::Remove(*key))
}
