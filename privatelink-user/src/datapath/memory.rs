//! The maps as plain data.

use std::{collections::BTreeMap, io};

use crate::datapath::{
    op::{Change, Op},
    store::{MapStore, StoreError},
    tables::Tables,
};

/// A [`MapStore`] without a kernel, which behaves like the one with it and fails on demand.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    tables: Tables,
    writes_left: Option<usize>,
}

impl Memory {
    /// A store that holds `tables`.
    pub fn holding(tables: Tables) -> Self {
        let mut memory = Self { tables, writes_left: None };
        memory.forget_zeros();
        memory
    }

    /// Lets `writes` more writes succeed, and fails all that follow.
    pub fn fail_after(&mut self, writes: usize) {
        self.writes_left = Some(writes);
    }

    /// Ends the failures.
    pub fn recover(&mut self) {
        self.writes_left = None;
    }

    /// What it holds.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    fn forget_zeros(&mut self) {
        let tables = &mut self.tables;
        tables.attachments.retain(nonzero);
        tables.endpoints.retain(nonzero);
        tables.limits.retain(nonzero);
        tables.services.retain(nonzero);
        tables.backends.retain(nonzero);
        tables.targets.retain(nonzero);
        tables.sources.retain(nonzero);
    }
}

impl MapStore for Memory {
    fn load(&self) -> Result<Tables, StoreError> {
        Ok(self.tables.clone())
    }

    fn quiesce(&mut self) {}

    fn apply(&mut self, op: &Op) -> Result<(), StoreError> {
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or_else(|| StoreError::Write {
                op: Box::new(*op),
                source: io::Error::other("a failure made on purpose"),
            })?;
        }
        let tables = &mut self.tables;
        match op {
            Op::Device(change) => sparse(&mut tables.devices, change),
            Op::Source(change) => array(&mut tables.sources, change),
            Op::Target(change) => array(&mut tables.targets, change),
            Op::Service(change) => array(&mut tables.services, change),
            Op::Backend(change) => array(&mut tables.backends, change),
            Op::Listener(change) => sparse(&mut tables.listeners, change),
            Op::Rule(change) => sparse(&mut tables.rules, change),
            Op::Limits(change) => array(&mut tables.limits, change),
            Op::Endpoint(change) => array(&mut tables.endpoints, change),
            Op::Local(change) => sparse(&mut tables.locals, change),
            Op::Attachment(change) => array(&mut tables.attachments, change),
            Op::Tagged(change) => sparse(&mut tables.tagged, change),
        }
        Ok(())
    }
}

fn nonzero<V: Default + PartialEq>(_: &u32, value: &mut V) -> bool {
    *value != V::default()
}

fn sparse<K: Copy + Ord, V: Copy>(table: &mut BTreeMap<K, V>, change: &Change<K, V>) {
    match change {
        Change::Put(key, value) => table.insert(*key, *value),
        Change::Remove(key) => table.remove(key),
    };
}

fn array<V: Copy + Default + PartialEq>(table: &mut BTreeMap<u32, V>, change: &Change<u32, V>) {
    match change {
        Change::Put(index, value) if *value != V::default() => table.insert(*index, *value),
        Change::Put(index, _) | Change::Remove(index) => table.remove(index),
    };
}
