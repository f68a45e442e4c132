//! Counts of records, readable while the thread writes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of the daemon, across changes of the flow log's settings.
#[derive(Debug, Default)]
pub struct Totals {
    written: AtomicU64,
    lost: AtomicU64,
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

    /// Adds written records.
    pub(super) fn add_written(&self, records: u64) {
        self.written.fetch_add(records, Ordering::Relaxed);
    }

    /// Adds lost records.
    pub(crate) fn add_lost(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }
}
