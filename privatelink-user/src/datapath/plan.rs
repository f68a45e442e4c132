//! The ordered difference between two contents of the maps.
//!
//! Packets flow while a plan is applied, so the order is the point: whatever an entry refers to
//! is there before the entry is, and goes after it. Pure: nothing here reads or writes a map.

use std::collections::BTreeMap;

use privatelink_common::{Listener, Pool};

use super::op::{Change, Op};
use crate::datapath::{
    store::{MapStore, StoreError},
    tables::Tables,
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
    /// A zero value in an array is the same as no entry, since the kernel cannot tell them apart.
    pub fn between(actual: &Tables, desired: &Tables) -> Self {
        let (a, d) = (actual, desired);
        let mut ops = Vec::new();
        sparse_puts(&a.devices, &d.devices, Op::Device, &mut ops);
        array_puts(&a.sources, &d.sources, Op::Source, &mut ops);
        array_puts(&a.targets, &d.targets, Op::Target, &mut ops);
        array_puts(&a.services, &d.services, Op::Service, &mut ops);
        let mut backends = Vec::new();
        array_puts(&a.backends, &d.backends, Op::Backend, &mut backends);
        ops.extend(closures(a, d, &backends));
        ops.append(&mut backends);
        sparse_puts(&a.listeners, &d.listeners, Op::Listener, &mut ops);
        sparse_puts(&a.rules, &d.rules, Op::Rule, &mut ops);
        array_puts(&a.limits, &d.limits, Op::Limits, &mut ops);
        array_puts(&a.endpoints, &d.endpoints, Op::Endpoint, &mut ops);
        sparse_puts(&a.locals, &d.locals, Op::Local, &mut ops);
        sparse_puts(&a.tagged, &d.tagged, Op::Tagged, &mut ops);
        array_puts(&a.attachments, &d.attachments, Op::Attachment, &mut ops);

        array_removals(&a.attachments, &d.attachments, Op::Attachment, &mut ops);
        sparse_removals(&a.tagged, &d.tagged, Op::Tagged, &mut ops);
        sparse_removals(&a.locals, &d.locals, Op::Local, &mut ops);
        array_removals(&a.endpoints, &d.endpoints, Op::Endpoint, &mut ops);
        array_removals(&a.limits, &d.limits, Op::Limits, &mut ops);
        sparse_removals(&a.rules, &d.rules, Op::Rule, &mut ops);
        sparse_removals(&a.listeners, &d.listeners, Op::Listener, &mut ops);
        array_removals(&a.backends, &d.backends, Op::Backend, &mut ops);
        array_removals(&a.services, &d.services, Op::Service, &mut ops);
        array_removals(&a.targets, &d.targets, Op::Target, &mut ops);
        array_removals(&a.sources, &d.sources, Op::Source, &mut ops);
        sparse_removals(&a.devices, &d.devices, Op::Device, &mut ops);
        Self { ops }
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

    /// Does it, and stops at the first failure: what is left is in the next difference.
    ///
    /// # Errors
    /// The failure of one write; those before it are done.
    pub fn apply(&self, store: &mut impl MapStore) -> Result<(), StoreError> {
        let mut waited = false;
        self.ops.iter().try_for_each(|op| {
            // Whoever has read a listener as it was may be about to read its part of this table.
            if matches!(op, Op::Backend(Change::Remove(_))) && !waited {
                store.quiesce();
                waited = true;
            }
            store.apply(op)
        })
    }
}

/// Listeners that must take no new flow while their part of the backend table gets other
/// content: those that change or go, and whose pool one of `puts` writes into. Emptied pools
/// refuse, which beats another service's targets.
fn closures(actual: &Tables, desired: &Tables, puts: &[Op]) -> Vec<Op> {
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

fn array_puts<V: Copy + Default + PartialEq>(
    actual: &BTreeMap<u32, V>,
    desired: &BTreeMap<u32, V>,
    op: fn(Change<u32, V>) -> Op,
    ops: &mut Vec<Op>,
) {
    for (&index, &value) in desired {
        if actual.get(&index).copied().unwrap_or_default() != value {
            ops.push(op(Change::Put(index, value)));
        }
    }
}

fn array_removals<V: Copy + Default + PartialEq>(
    actual: &BTreeMap<u32, V>,
    desired: &BTreeMap<u32, V>,
    op: fn(Change<u32, V>) -> Op,
    ops: &mut Vec<Op>,
) {
    for (&index, &value) in actual.iter().rev() {
        if !desired.contains_key(&index) && value != V::default() {
            ops.push(op(Change::Remove(index)));
        }
    }
}

fn sparse_puts<K: Copy + Ord, V: Copy + PartialEq>(
    actual: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
    op: fn(Change<K, V>) -> Op,
    ops: &mut Vec<Op>,
) {
    for (key, value) in desired {
        if actual.get(key) != Some(value) {
            ops.push(op(Change::Put(*key, *value)));
        }
    }
}

fn sparse_removals<K: Copy + Ord, V>(
    actual: &BTreeMap<K, V>,
    desired: &BTreeMap<K, V>,
    op: fn(Change<K, V>) -> Op,
    ops: &mut Vec<Op>,
) {
    for key in actual.keys().rev() {
        if !desired.contains_key(key) {
            ops.push(op(Change::Remove(*key)));
        }
    }
}
