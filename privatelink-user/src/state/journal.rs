//! The state in one file, to which every change is appended before it counts.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use log::warn;

use super::{
    change::Change,
    error::Error,
    kept::State,
    record::{Header, Line, OLDEST, Record, VERSION, decode, encode},
    store::Store,
};

/// Name of the file in the state directory.
pub const FILE: &str = "state.journal";

/// Below this length a journal is not worth writing anew.
const SHORT: u64 = 256 * 1024;
/// Nor while it is not so many times as long as what it means.
const GROWTH: u64 = 4;

/// A [`Store`] in a file of its own. Somebody else must see to it that it is the only one there.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    state: State,
    /// The file to append to; none if its content is not certain, so that it is written anew.
    file: Option<File>,
    /// The number of the last line.
    number: u64,
    length: u64,
    /// Its length when it was last written anew.
    compact: u64,
    /// See [`SHORT`].
    short: u64,
}

impl Journal {
    /// Reads what is kept in a directory; nothing at all where there is no file.
    ///
    /// What a crash left half written is cut off: nobody was told that it was kept.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let mut journal = Self {
            directory: directory.to_owned(),
            state: State::default(),
            file: None,
            number: 0,
            length: 0,
            compact: 0,
            short: SHORT,
        };
        let path = journal.path();
        match fs::read(&path) {
            Ok(bytes) => journal.replay(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Read { path, source }),
        }
        Ok(journal)
    }

    /// Has the file written anew from this length on, instead of the usual one.
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
        // The first lines arrive together, by a rename, so no crash leaves them torn.
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
            warn!("{}: what was being written when the daemon ended is gone", path.display());
        }
        Ok(())
    }

    /// Appends changes to the file.
    fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let record = Record { number: self.number + 1, changes: changes.to_vec() };
        let line = encode(&record)?;
        file.write_all(&line)?;
        file.sync_data()?;
        self.number += 1;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Writes a file that means `state` and puts it in the place of the old one, so that one of
    /// the two survives whatever happens.
    fn rewrite(&mut self, state: &State) -> io::Result<()> {
        let mut content = encode(&Header::current())?;
        let changes = State::default().changes_to(state);
        let mut number = 0;
        for change in changes {
            number += 1;
            content.extend(encode(&Record { number, changes: vec![change] })?);
        }
        fs::create_dir_all(&self.directory)?;
        let temporary = self.directory.join(format!("{FILE}.new"));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path())?;
        // Without this, the rename itself may be lost.
        File::open(&self.directory)?.sync_all()?;
        self.file = Some(file);
        self.number = number;
        self.length = content.len() as u64;
        self.compact = self.length;
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.length > self.short && self.length > self.compact.saturating_mul(GROWTH)
    }
}

impl Store for Journal {
    fn state(&self) -> &State {
        &self.state
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        if changes.is_empty() && self.file.is_some() {
            return Ok(());
        }
        let written = if self.file.is_some() && !self.is_long() {
            self.append(&changes)
        } else {
            let mut next = self.state.clone();
            changes.iter().cloned().for_each(|change| next.apply(change));
            self.rewrite(&next)
        };
        if let Err(source) = written {
            // Half a line may be there, or a whole one that the disk does not have.
            self.file = None;
            return Err(Error::Write { path: self.path(), source });
        }
        changes.into_iter().for_each(|change| self.state.apply(change));
        Ok(())
    }
}

#[cfg(test)]
impl Journal {
    /// Has the disk be full once.
    pub(super) fn fail_next_append(&mut self) {
        self.file = Some(File::options().write(true).open("/dev/full").unwrap());
    }
}
