//! Records into text, and text to where it goes.

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

/// Text is handed on in parts of about this many bytes.
const PART: usize = 256 * 1024;

/// What the thread and the daemon's loop both count.
#[derive(Debug)]
pub(super) struct Shared {
    /// Records that wait to be written.
    pub waiting: AtomicUsize,
    totals: Arc<Totals>,
    /// Of the lost ones, those that no line in the log tells of yet.
    untold: AtomicU64,
    /// Whether flows that last are being told of.
    pub telling: AtomicBool,
    /// Whether the last attempt to write failed.
    pub failing: AtomicBool,
}

impl Shared {
    /// Nothing has happened yet.
    pub fn new(totals: Arc<Totals>) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            totals,
            untold: AtomicU64::new(0),
            telling: AtomicBool::new(false),
            failing: AtomicBool::new(false),
        }
    }

    /// Counts records that are not written.
    pub fn lose(&self, records: u64) {
        self.totals.add_lost(records);
        self.untold.fetch_add(records, Ordering::Relaxed);
    }
}

/// Writes records.
#[derive(Debug)]
pub(super) struct Writer {
    format: LogFormat,
    sink: Sink,
    shared: Arc<Shared>,
    text: String,
    /// Records in the text.
    records: u64,
    /// Missing records that the text tells of.
    missing: u64,
    /// When records were last known to be complete.
    complete: Timestamp,
}

impl Writer {
    /// Writes as the settings say.
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

    /// Opens the file anew.
    pub fn reopen(&mut self) {
        self.sink.reopen();
    }

    /// Counts records that are missing.
    pub fn lose(&self, records: u64) {
        self.shared.lose(records);
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record<'_>, names: &IndexNames) {
        match &self.format {
            LogFormat::Json => {
                // Nothing in a record refuses to be JSON.
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

    /// Hands on what was added, and says what is missing. So many fewer records wait.
    pub fn done(&mut self, records: usize, now: Timestamp) {
        self.shared.waiting.fetch_sub(records, Ordering::Relaxed);
        self.tell_of_gaps(now);
        self.flush();
    }

    /// Notes that all flows that last have been told of.
    pub fn told(&self) {
        self.shared.telling.store(false, Ordering::Relaxed);
    }

    /// Says how many records are missing, if there are any.
    fn tell_of_gaps(&mut self, now: Timestamp) {
        let start = std::mem::replace(&mut self.complete, now);
        let missing = self.shared.untold.swap(0, Ordering::Relaxed);
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
                    warn!("the flow log is written again");
                }
            }
            Err(error) => {
                self.shared.lose(self.records);
                self.shared.untold.fetch_add(self.missing, Ordering::Relaxed);
                if !failing {
                    warn!("records of flows are lost: cannot write to the flow log: {error}");
                }
            }
        }
        (self.records, self.missing) = (0, 0);
        self.text.clear();
    }
}
