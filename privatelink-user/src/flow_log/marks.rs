//! Marks: what was already reported of live flows, so that each packet is reported once.
//!
//! The kernel counts from the beginning of a flow. How much of that is already in the log is kept
//! in memory and, for the next daemon, in a file: one entry for each flow with an interval record,
//! appended after the records are written. Flows that end sooner cost nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use log::warn;
use privatelink_common::flow::Flow;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::record::DirectionCounts;
use crate::timestamp::Timestamp;

/// Name of the file in the state directory.
const FILE: &str = "flow-log.marks";
/// Identifies the boot of the host: marks of an earlier boot are invalid.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// A file with fewer entries is not worth rewriting.
const SHORT: usize = 4_096;
/// The value of `at` in an entry whose flow has ended.
const GONE: u64 = u64::MAX;

/// Identifies a flow.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub(super) struct Key {
    client: [u8; 16],
    consumer_ports: u32,
    provider_ports: u32,
    opened: u32,
    endpoint: u16,
    target: u16,
    source: u16,
    protocol: u16,
}

impl Key {
    /// The same key for both directions.
    pub fn of(flow: &Flow) -> Self {
        Self {
            client: flow.client.0,
            consumer_ports: flow.consumer_ports,
            provider_ports: flow.provider_ports,
            opened: flow.opened,
            endpoint: flow.endpoint,
            target: flow.target,
            source: flow.source,
            protocol: flow.protocol().into(),
        }
    }
}

/// How much of a flow has been reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub counts: DirectionCounts,
    /// The time of that report, in milliseconds since 1970.
    pub at: u64,
}

impl Mark {
    /// The time of the last report.
    pub fn since(self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }
}

/// An entry of the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct MarkEntry {
    key: Key,
    packets_in: u32,
    packets_out: u32,
    /// CRC-32 of the other fields.
    check: u32,
    bytes_in: u64,
    bytes_out: u64,
    at: u64,
}

impl MarkEntry {
    fn new(key: Key, mark: Mark) -> Self {
        let DirectionCounts { packets_in, packets_out, bytes_in, bytes_out } = mark.counts;
        let at = mark.at;
        let entry = Self { key, packets_in, packets_out, check: 0, bytes_in, bytes_out, at };
        Self { check: entry.sum(), ..entry }
    }

    fn sum(&self) -> u32 {
        crc32fast::hash(Self { check: 0, ..*self }.as_bytes())
    }

    fn mark(&self) -> Mark {
        let Self { packets_in, packets_out, bytes_in, bytes_out, at, .. } = *self;
        Mark { counts: DirectionCounts { packets_in, packets_out, bytes_in, bytes_out }, at }
    }
}

/// The marks of all live flows.
#[derive(Debug)]
pub(super) struct Marks {
    marks: BTreeMap<Key, Mark>,
    path: PathBuf,
    boot: Vec<u8>,
    /// Entries in the file; `None` if the next write must rewrite it.
    entries: Option<usize>,
    /// Entries that are not in the file yet.
    unwritten: Vec<MarkEntry>,
    /// Flows that were missing from the flow table at the last look.
    missing: BTreeSet<Key>,
}

impl Marks {
    /// Loads the marks that the previous daemon left in a directory.
    pub fn open(directory: &Path) -> Self {
        let boot = fs::read(BOOT).unwrap_or_default();
        let path = directory.join(FILE);
        let bytes = fs::read(&path).unwrap_or_default();
        let mut marks = BTreeMap::new();
        for chunk in
            bytes.strip_prefix(boot.as_slice()).unwrap_or_default().chunks(size_of::<MarkEntry>())
        {
            let Ok(entry) = MarkEntry::read_from_bytes(chunk) else { break };
            if entry.check != entry.sum() {
                break;
            }
            if entry.at == GONE {
                marks.remove(&entry.key);
            } else {
                marks.insert(entry.key, entry.mark());
            }
        }
        Self { marks, path, boot, entries: None, unwritten: Vec::new(), missing: BTreeSet::new() }
    }

    /// How much of a flow has been reported, if any of it has.
    pub fn of(&self, key: &Key) -> Option<Mark> {
        self.marks.get(key).copied()
    }

    /// Notes how much of a flow has been reported.
    pub fn put(&mut self, key: Key, mark: Mark) {
        self.marks.insert(key, mark);
        self.unwritten.push(MarkEntry::new(key, mark));
    }

    /// Forgets a flow that has ended; returns what had been reported of it.
    pub fn take(&mut self, key: &Key) -> Option<Mark> {
        let mark = self.marks.remove(key)?;
        self.unwritten.push(MarkEntry::new(*key, Mark { at: GONE, ..Mark::default() }));
        Some(mark)
    }

    /// Removes flows that are missing for the second time. The end of a flow that is missing for
    /// the first time may still be in the queue.
    pub fn retain(&mut self, there: impl Fn(&Key) -> bool) {
        let mut missing = BTreeSet::new();
        let before = self.marks.len();
        let known = std::mem::take(&mut self.missing);
        self.marks.retain(|key, _| {
            let stays = there(key) || !known.contains(key);
            if stays && !there(key) {
                missing.insert(*key);
            }
            stays
        });
        self.missing = missing;
        if self.marks.len() != before {
            self.entries = None;
        }
    }

    /// Saves new marks. Call it after the records have been written: a crash in between repeats
    /// records, but loses none.
    pub fn keep(&mut self) {
        if self.unwritten.is_empty() && (self.entries.is_some() || self.marks.is_empty()) {
            return;
        }
        let most = SHORT.max(self.marks.len().saturating_mul(3));
        let entries = self.entries.map(|entries| entries + self.unwritten.len());
        let written = match entries.filter(|entries| *entries <= most) {
            Some(entries) => self.append().map(|()| entries),
            None => self.rewrite().map(|()| self.marks.len()),
        };
        self.unwritten.clear();
        self.entries = written.as_ref().ok().copied();
        if let Err(error) = written {
            let path = self.path.display();
            warn!("cannot write {path}: {error}; after a restart some packets may be logged twice");
        }
    }

    fn append(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(self.unwritten.as_slice().as_bytes())
    }

    fn rewrite(&self) -> io::Result<()> {
        let temporary = self.path.with_extension("marks.new");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        let mut file = io::BufWriter::new(file);
        file.write_all(&self.boot)?;
        for (key, mark) in &self.marks {
            file.write_all(MarkEntry::new(*key, *mark).as_bytes())?;
        }
        file.into_inner()?;
        fs::rename(&temporary, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Key {
        Key::of(&Flow { opened: number, ..Flow::default() })
    }

    fn mark(bytes: u64) -> Mark {
        Mark {
            counts: DirectionCounts { bytes_in: bytes, ..DirectionCounts::default() },
            at: bytes,
        }
    }

    #[test]
    fn saved_marks_are_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let mut marks = Marks::open(directory.path());
        for number in 0..10 {
            marks.put(key(number), mark(u64::from(number)));
        }
        marks.keep();
        assert_eq!(marks.take(&key(3)), Some(mark(3)));
        marks.put(key(4), mark(44));
        marks.keep();
        marks.put(key(5), mark(55));
        // The last one was not saved.
        let found = Marks::open(directory.path());
        assert_eq!(found.marks.len(), 9);
        assert_eq!((found.of(&key(3)), found.of(&key(4))), (None, Some(mark(44))));
        assert_eq!(found.of(&key(5)), Some(mark(5)));
    }

    #[test]
    fn torn_entries_and_other_boots_are_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let mut marks = Marks::open(directory.path());
        marks.put(key(1), mark(1));
        marks.keep();
        let path = directory.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend([7; 50]);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Marks::open(directory.path()).marks.len(), 1);
        *bytes.first_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Marks::open(directory.path()).marks.len(), 0);
    }

    #[test]
    fn the_file_stays_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let mut marks = Marks::open(directory.path());
        for round in 0..10_000 {
            marks.put(key(round), mark(1));
            marks.take(&key(round));
            marks.put(key(0), mark(round.into()));
            marks.keep();
        }
        let length = fs::metadata(directory.path().join(FILE)).unwrap().len();
        assert!(length < (SHORT as u64 + 2) * size_of::<MarkEntry>() as u64, "{length}");
        let mut found = Marks::open(directory.path());
        assert_eq!(found.of(&key(0)), Some(mark(9_999)));
        found.retain(|_| false);
        assert_eq!(found.marks.len(), 1, "its end may be in the queue");
        found.retain(|_| false);
        assert!(found.marks.is_empty());
    }
}
