//! What was reported of flows that last, so that each packet is reported once.
//!
//! The kernel counts from a flow's beginning. How much of that is in the log already is kept in
//! memory and, for the next daemon, in a file: one entry for each flow that has lasted for an
//! interval, appended after the records are written. Flows that end sooner cost nothing.

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

use super::record::FlowCounts;
use crate::timestamp::Timestamp;

/// Name of the file in the state directory.
const FILE: &str = "flow-log.marks";
/// What tells one boot of the host from the next, which has other flows.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Below this many entries a file is not worth writing anew.
const SHORT: usize = 4_096;
/// What an entry says whose flow has ended.
const GONE: u64 = u64::MAX;

/// What tells a flow from every other one.
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
    /// That of either direction.
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
    pub counts: FlowCounts,
    /// When that was; a number of milliseconds.
    pub at: u64,
}

impl Mark {
    /// Since when nothing has been reported.
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
    /// Of all that stands before and behind it.
    check: u32,
    bytes_in: u64,
    bytes_out: u64,
    at: u64,
}

impl MarkEntry {
    fn new(key: Key, mark: Mark) -> Self {
        let FlowCounts { packets_in, packets_out, bytes_in, bytes_out } = mark.counts;
        let at = mark.at;
        let entry = Self { key, packets_in, packets_out, check: 0, bytes_in, bytes_out, at };
        Self { check: entry.sum(), ..entry }
    }

    fn sum(&self) -> u32 {
        crc32fast::hash(Self { check: 0, ..*self }.as_bytes())
    }

    fn mark(&self) -> Mark {
        let Self { packets_in, packets_out, bytes_in, bytes_out, at, .. } = *self;
        Mark { counts: FlowCounts { packets_in, packets_out, bytes_in, bytes_out }, at }
    }
}

/// What was reported of each flow that lasts.
#[derive(Debug)]
pub(super) struct Marks {
    marks: BTreeMap<Key, Mark>,
    path: PathBuf,
    boot: Vec<u8>,
    /// Entries in the file; `None` where it is to be written anew.
    entries: Option<usize>,
    /// What is not in the file yet.
    unwritten: Vec<MarkEntry>,
    /// Flows that were not there when somebody looked last.
    missing: BTreeSet<Key>,
}

impl Marks {
    /// Goes on from what the daemon before has left in a directory.
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

    /// Forgets flows that were missing the last time and still are: of one that is missing for
    /// the first time, the end may be on its way.
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

    /// Writes down what is new. To be called once the records are written that it is about.
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
            warn!("after a restart some packets may be logged twice: cannot write {path}: {error}");
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
        Mark { counts: FlowCounts { bytes_in: bytes, ..FlowCounts::default() }, at: bytes }
    }

    #[test]
    fn what_was_kept_is_found_again() {
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
        // The last one was not kept.
        let found = Marks::open(directory.path());
        assert_eq!(found.marks.len(), 9);
        assert_eq!((found.of(&key(3)), found.of(&key(4))), (None, Some(mark(44))));
        assert_eq!(found.of(&key(5)), Some(mark(5)));
    }

    #[test]
    fn half_an_entry_and_another_boot_are_nothing() {
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
        assert_eq!(found.marks.len(), 1, "its end may be on its way");
        found.retain(|_| false);
        assert!(found.marks.is_empty());
    }
}
