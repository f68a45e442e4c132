//! Formats records and writes them to the sink.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use log::warn;

use super::{index_names::IndexNames, record::Record, sink::Sink, totals::Totals, vpc};
use crate::{
    model::{FlowLog, LogFormat},
    timestamp::Timestamp,
};

/// Text is written to the sink in chunks of about this many bytes.
const PART: usize = 256 * 1024;

/// Counters shared by the thread and the daemon's loop.
#[derive(Debug)]
pub(super) struct Shared {
    /// Records in the queue.
    pub waiting: AtomicUsize,
    totals: Arc<Totals>,
    /// Lost records that the log has not reported yet.
    unreported: AtomicU64,
    /// Whether interval records are queued or being written.
    pub interval_pending: AtomicBool,
    /// Whether the last attempt to write failed.
    pub failing: AtomicBool,
}

impl Shared {
    /// Counters at zero.
    pub fn new(totals: Arc<Totals>) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            totals,
            unreported: AtomicU64::new(0),
            interval_pending: AtomicBool::new(false),
            failing: AtomicBool::new(false),
        }
    }

    /// Counts lost records.
    pub fn lose(&self, records: u64) {
        self.totals.add_lost(records);
        self.unreported.fetch_add(records, Ordering::Relaxed);
    }
}

/// Formats records and passes them to the sink.
#[derive(Debug)]
pub(super) struct Writer {
    format: LogFormat,
    sink: Sink,
    shared: Arc<Shared>,
    text: String,
    /// Number of records in `text`.
    records: u64,
    /// Number of lost records that `text` reports.
    missing: u64,
    /// The last time at which no records were missing.
    complete: Timestamp,
}

impl Writer {
    /// A writer with these settings.
    pub fn new(settings: &FlowLog, shared: Arc<Shared>) -> Self {
        let heading = match &settings.format {
            LogFormat::Json => String::new(),
            LogFormat::Vpc(fields) => vpc::heading(fields),
        };
        Self {
            format: settings.format.clone(),
            sink: Sink::new(settings, heading),
            shared,
            text: String::new(),
            records: 0,
            missing: 0,
            complete: Timestamp::now(),
        }
    }

    /// Reopens the destination.
    pub fn reopen(&mut self) {
        self.sink.reopen();
    }

    /// Counts lost records.
    pub fn lose(&self, records: u64) {
        self.shared.lose(records);
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record<'_>, names: &IndexNames) {
        match &self.format {
            LogFormat::Json => {
                // Serializing a record cannot fail.
                if let Ok(json) = serde_json::to_string(record) {
                    self.text.push_str(&json);
                    self.text.push('\n');
                }
            }
            LogFormat::Vpc(fields) => vpc::write(&mut self.text, record, &names.gateway, fields),
        }
        self.records += 1;
        if self.text.len() >= PART {
            self.flush();
        }
    }

    /// Writes the added records and reports a gap, if any. `records` have left the queue.
    pub fn done(&mut self, records: usize, now: Timestamp) {
        self.shared.waiting.fetch_sub(records, Ordering::Relaxed);
        self.report_gap(now);
        self.flush();
    }

    /// Notes that all interval records have been written.
    pub fn interval_done(&self) {
        self.shared.interval_pending.store(false, Ordering::Relaxed);
    }

    /// Adds a line that reports the lost records, if any.
    fn report_gap(&mut self, now: Timestamp) {
        // The clock may have been set back since.
        let start = std::mem::replace(&mut self.complete, now).min(now);
        let missing = self.shared.unreported.swap(0, Ordering::Relaxed);
        if missing == 0 {
            return;
        }
        self.missing += missing;
        match &self.format {
            LogFormat::Json => {
                let gap = serde_json::json!({
                    "kind": "lost", "records": missing, "start": start, "end": now,
                });
                self.text += &format!("{gap}\n");
            }
            LogFormat::Vpc(fields) => vpc::skipped(&mut self.text, start, now, fields),
        }
    }

    fn flush(&mut self) {
        let written = self.sink.write(&self.text);
        let failing = self.shared.failing.swap(written.is_err(), Ordering::Relaxed);
        match written {
            Ok(()) => {
                self.shared.totals.add_written(self.records);
                if failing {
                    warn!("writing to the flow log works again");
                }
            }
            Err(error) => {
                self.shared.lose(self.records);
                self.shared.unreported.fetch_add(self.missing, Ordering::Relaxed);
                if !failing {
                    warn!("flow log records are lost: cannot write: {error}");
                }
            }
        }
        (self.records, self.missing) = (0, 0);
        self.text.clear();
    }
}
