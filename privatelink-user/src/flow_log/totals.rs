//! Counts of records, readable while the thread writes.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Counts since the start of the daemon, across changes of the flow log's settings.
#[derive(Debug, Default)]
pub struct Totals {
    written: AtomicU64,
    lost: AtomicU64,
    left_out: Mutex<BTreeMap<String, u64>>,
}

/// Numbers of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Records written.
    pub written: u64,
    /// Records lost because writing was too slow or failed, or because the kernel dropped them.
    pub lost: u64,
}

impl Totals {
    /// The current counts.
    pub fn counts(&self) -> RecordCounts {
        RecordCounts {
            written: self.written.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// How many refused flows of each principal were left out because of its budget.
    pub fn left_out(&self) -> BTreeMap<String, u64> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds refused flows that were left out, by principal.
    pub(crate) fn add_left_out(&self, more: &BTreeMap<String, u64>) {
        let mut all = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        for (principal, count) in more {
            *all.entry(principal.clone()).or_default() += count;
        }
    }

    /// Adds written records.
    pub(super) fn add_written(&self, records: u64) {
        self.written.fetch_add(records, Ordering::Relaxed);
    }

    /// Adds lost records.
    pub(crate) fn add_lost(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }
}
