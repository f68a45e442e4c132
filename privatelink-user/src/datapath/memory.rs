//! The maps without a kernel.

use std::{collections::BTreeMap, io};

use super::{
    op::{Change, Op},
    store::{MapStore, StoreError},
    tables::{Kind, MapTables, for_each_map},
};

/// A [`MapStore`] in memory, which behaves like that of the kernel and fails on demand.
#[derive(Clone, Debug, Default)]
pub struct MemoryMaps {
    tables: MapTables,
    writes_left: Option<usize>,
}

impl MemoryMaps {
    /// A store that holds `tables`.
    pub fn holding(mut tables: MapTables) -> Self {
        forget_zeros(&mut tables);
        Self { tables, writes_left: None }
    }

    /// Lets `writes` more writes succeed, and fails all that follow.
    pub fn fail_after(&mut self, writes: usize) {
        self.writes_left = Some(writes);
    }

    /// Ends the failures.
    pub fn recover(&mut self) {
        self.writes_left = None;
    }

    /// The content of the maps.
    pub fn tables(&self) -> &MapTables {
        &self.tables
    }
}

impl MapStore for MemoryMaps {
    fn load(&self) -> Result<MapTables, StoreError> {
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
        write(&mut self.tables, op);
        Ok(())
    }
}

macro_rules! define_writes {
    ($($(#[$doc:meta])* $variant:ident $field:ident: $kind:ident $(<$($of:ty),+>)? = $name:ident;)+) => {
        fn write(tables: &mut MapTables, op: &Op) {
            match op {
                $(Op::$variant(change) => write_entry(Kind::$kind, &mut tables.$field, change),)+
            }
        }

        /// Removes the values that the kernel does not tell from absent ones.
        fn forget_zeros(tables: &mut MapTables) {
            $(tables.$field.retain(|_, value| !Kind::$kind.is_absent(value));)+
        }
    };
}
for_each_map!(define_writes);

fn write_entry<K: Copy + Ord, V: Copy + Default + PartialEq>(
    kind: Kind,
    table: &mut BTreeMap<K, V>,
    change: &Change<K, V>,
) {
    match change {
        Change::Put(key, value) if !kind.is_absent(value) => table.insert(*key, *value),
        Change::Put(key, _) | Change::Remove(key) => table.remove(key),
    };
}
