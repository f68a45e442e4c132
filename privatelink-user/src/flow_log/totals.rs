//! How many records there were, for whoever asks while they are written.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the daemon was started, whatever log was written meanwhile.
#[derive(Debug, Default)]
pub struct Totals {
    written: AtomicU64,
    lost: AtomicU64,
}

/// How many records there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Written.
    pub written: u64,
    /// Lost, since writing was too slow or failed, or since the kernel left them out.
    pub lost: u64,
}

impl Totals {
    /// How many there have been until now.
    pub fn counts(&self) -> RecordCounts {
        RecordCounts {
            written: self.written.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// RecordCounts records that were written.
    pub(super) fn add_written(&self, records: u64) {
        self.written.fetch_add(records, Ordering::Relaxed);
    }

    /// RecordCounts records that were not.
    pub(crate) fn add_lost(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
    }
}
