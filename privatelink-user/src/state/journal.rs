//! The state in one file, to which every change is appended before it counts.

use std::{
    io,
    path::{Path, PathBuf},
};

use log::warn;

use super::{
    change::Change,
    disk::{Disk, FileSystem, OpenFile},
    error::Error,
    ids::Ids,
    kept::State,
    record::{ENTRIES, Header, Line, OLDEST, PLAIN, Record, VERSION, decode, encode},
    store::Store,
};

/// Name of the file in the state directory.
pub const FILE: &str = "state.journal";

/// Below this length a journal is not worth rewriting.
const SHORT: u64 = 256 * 1024;
/// A journal is rewritten once it is this many times as long as after the last rewrite.
const GROWTH: u64 = 4;

/// A [`Store`] in a file of its own. It takes no lock: the caller must make sure that no other
/// process writes the file.
#[derive(Debug)]
pub struct Journal {
    disk: Box<dyn Disk>,
    directory: PathBuf,
    state: State,
    /// The file to append to; `None` if its content is not certain, so that it has to be
    /// rewritten.
    file: Option<Box<dyn OpenFile>>,
    /// Whether the last write failed.
    behind: bool,
    /// The number of the last line.
    number: u64,
    length: u64,
    /// Its length when it was last rewritten.
    compact: u64,
    /// See [`SHORT`].
    short: u64,
    /// The version of the format that the file has.
    version: u32,
}

impl Journal {
    /// Reads the journal in a directory; the state is empty if there is no file.
    ///
    /// A last line that a crash left incomplete is dropped: no caller was told that it was kept.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Self::open_on(Box::new(FileSystem), directory)
    }

    /// Reads the journal in a directory of some disk.
    pub(super) fn open_on(disk: Box<dyn Disk>, directory: &Path) -> Result<Self, Error> {
        let mut journal = Self {
            disk,
            directory: directory.to_owned(),
            state: State::default(),
            file: None,
            behind: false,
            number: 0,
            length: 0,
            compact: 0,
            short: SHORT,
            version: PLAIN,
        };
        let path = journal.path();
        match journal.disk.read(&path) {
            Ok(bytes) => journal.replay(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Read { path, source }),
        }
        Ok(journal)
    }

    /// Sets the length from which on the file is rewritten; tests use a short one.
    #[must_use]
    pub fn compacting_from(mut self, length: u64) -> Self {
        self.short = length;
        self
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn replay(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path();
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        // `rewrite` puts the first lines in place by a rename, so no crash leaves them torn.
        match lines.next().map(decode::<Header>) {
            Some(Line::Whole(header)) if !header.is_ours() => return Err(Error::Foreign { path }),
            Some(Line::Whole(header)) if !(OLDEST..=VERSION).contains(&header.version) => {
                return Err(Error::Version { path, found: header.version });
            }
            Some(Line::Whole(_)) => {}
            Some(Line::Torn | Line::Damaged) if bytes.starts_with(b"privatelink") => {
                return Err(Error::Foreign { path });
            }
            None | Some(Line::Torn | Line::Damaged) => {
                return Err(Error::Damaged { path, line: 1 });
            }
        }
        let damaged = |line| Error::Damaged { path: path.clone(), line };
        let mut at = 1;
        let mut torn = false;
        for line in lines {
            at += 1;
            match decode::<Record>(line) {
                Line::Whole(record) if !torn && record.number == self.number + 1 => {
                    self.number = record.number;
                    record.changes.into_iter().for_each(|change| self.state.apply(change));
                }
                // Nothing is written after a line that is not certain.
                Line::Torn if !torn => torn = true,
                Line::Whole(_) | Line::Torn | Line::Damaged => return Err(damaged(at)),
            }
        }
        if torn {
            warn!(
                "{}: dropped an incomplete last record: the daemon or the host stopped while writing it",
                path.display()
            );
        }
        Ok(())
    }

    /// Appends changes to the file.
    fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let changes = readable(changes, self.version, &self.state.ids);
        let record = Record { number: self.number + 1, changes };
        let line = encode(&record)?;
        file.append(&line)?;
        file.sync()?;
        self.number += 1;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Writes a file that holds `state`, and replaces the old one by a rename: after a crash,
    /// either the old file or the new one is there, and complete.
    fn rewrite(&mut self, state: &State) -> io::Result<()> {
        let changes = State::default().changes_to(state);
        let version = version_of(&changes);
        let mut content = encode(&Header::of(version))?;
        let mut number = 0;
        for change in readable(&changes, version, &Ids::default()) {
            number += 1;
            content.extend(encode(&Record { number, changes: vec![change] })?);
        }
        self.disk.create_directory(&self.directory)?;
        let temporary = self.directory.join(format!("{FILE}.new"));
        let file = self.replace(&temporary, &content).inspect_err(|_| {
            // Half a file takes room from a disk that may be full.
            let _ = self.disk.remove(&temporary);
        })?;
        self.file = Some(file);
        self.number = number;
        self.length = content.len() as u64;
        self.compact = self.length;
        self.version = version;
        Ok(())
    }

    /// Writes the content to a temporary file, and renames that to the journal.
    fn replace(&self, temporary: &Path, content: &[u8]) -> io::Result<Box<dyn OpenFile>> {
        let mut file = self.disk.create(temporary)?;
        file.append(content)?;
        file.sync()?;
        self.disk.rename(temporary, &self.path())?;
        // The rename is an entry of the directory: without this, a crash may undo it.
        self.disk.sync_directory(&self.directory)?;
        Ok(file)
    }

    fn is_long(&self) -> bool {
        self.length > self.short && self.length > self.compact.saturating_mul(GROWTH)
    }
}

/// The version that a file with these changes has at least.
fn version_of(changes: &[Change]) -> u32 {
    changes.iter().map(Change::version).max().unwrap_or(PLAIN).max(PLAIN)
}

/// The changes as a daemon of the file's version reads them: before [`ENTRIES`], all indices are
/// written at once. `ids` are those before the changes.
fn readable(changes: &[Change], version: u32, ids: &Ids) -> Vec<Change> {
    if version >= ENTRIES {
        return changes.to_vec();
    }
    let mut next = State { ids: ids.clone(), ..State::default() };
    let mut others = Vec::new();
    for change in changes {
        if matches!(change, Change::Index(..) | Change::Sources(_)) {
            next.apply(change.clone());
        } else {
            others.push(change.clone());
        }
    }
    let all = (next.ids != *ids).then(|| Change::Ids(Box::new(next.ids)));
    all.into_iter().chain(others).collect()
}

impl Store for Journal {
    fn state(&self) -> &State {
        &self.state
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        if changes.is_empty() && self.file.is_some() {
            return Ok(());
        }
        let readable = version_of(&changes) <= self.version;
        let written = if self.file.is_some() && readable && !self.is_long() {
            self.append(&changes)
        } else {
            let mut next = self.state.clone();
            changes.iter().cloned().for_each(|change| next.apply(change));
            self.rewrite(&next)
        };
        if let Err(source) = written {
            // The file may end in half a line, or in a whole one that has not reached the disk, so
            // nothing may be appended to it: the next commit rewrites it.
            (self.file, self.behind) = (None, true);
            return Err(Error::Write { path: self.path(), source });
        }
        self.behind = false;
        changes.into_iter().for_each(|change| self.state.apply(change));
        Ok(())
    }

    fn is_behind(&self) -> bool {
        self.behind
    }

    fn assume(&mut self, state: State) {
        (self.state, self.file, self.behind) = (state, None, true);
    }
}

#[cfg(test)]
impl Journal {
    /// Makes the next append fail as on a full disk.
    pub(super) fn fail_next_append(&mut self) {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        self.file = Some(Box::new(full));
    }
}
