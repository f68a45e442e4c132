//! Writes the log.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use ::log::warn;

use super::{DIRECTORY, file, reader::AuditReader, refusals::Refusals};
use crate::{
    digest::{none, sha256},
    interface::types::AuditEntry,
    timestamp::Timestamp,
};

/// A file that is longer is followed by another one.
const LONG: u64 = 16 << 20;

/// The end of the log.
#[derive(Debug)]
pub struct AuditLog {
    directory: PathBuf,
    /// Where the next line goes, if that is certain.
    end: Option<End>,
    /// Results that the disk has refused. No attempt is written before them.
    waiting: Vec<AuditEntry>,
    refusals: Refusals,
    long: u64,
}

#[derive(Debug)]
struct End {
    file: Option<File>,
    length: u64,
    /// The number of the last line, and its digest.
    number: u64,
    digest: String,
}

impl AuditLog {
    /// The log in a state directory. Nothing is read or written before the first line.
    pub fn new(state_dir: &Path) -> Self {
        let directory = state_dir.join(DIRECTORY);
        let (waiting, refusals) = (Vec::new(), Refusals::default());
        Self { directory, end: None, waiting, refusals, long: LONG }
    }

    /// Reads it, without standing in the way of the next line.
    pub fn reader(&self) -> AuditReader {
        AuditReader::new(self.directory.clone())
    }

    /// Writes an attempt, and returns its number once it is on the disk.
    ///
    /// # Errors
    /// When the disk refuses: nothing may be changed then.
    pub fn attempt(&mut self, entry: AuditEntry) -> io::Result<u64> {
        while let Some(result) = self.waiting.first() {
            self.append(result.clone(), false)?;
            self.waiting.remove(0);
        }
        self.append(AuditEntry { kind: "attempt".into(), ..entry }, true)
    }

    /// Writes what became of an attempt. What the disk refuses is written before the next attempt.
    pub fn result(&mut self, attempt: u64, entry: AuditEntry) {
        let entry = AuditEntry { kind: "result".into(), attempt: Some(attempt), ..entry };
        if !self.waiting.is_empty() || self.append(entry.clone(), false).is_err() {
            warn!("the audit log lacks a result; until it can be written, no change is made");
            self.waiting.push(entry);
        }
    }

    /// Writes that a caller was refused, unless there are too many of that caller.
    pub fn refused(&mut self, entry: AuditEntry, now: Instant) {
        let caller = entry.address.clone().unwrap_or_else(|| entry.by.clone());
        let Some(omitted) = self.refusals.admit(&caller, now) else { return };
        let omitted = Some(omitted).filter(|count| *count != 0);
        let entry = AuditEntry { kind: "refused".into(), omitted, ..entry };
        if let Err(error) = self.append(entry, false) {
            warn!("a refused request is missing in the audit log: {error}");
        }
    }

    /// Appends a line; returns its number.
    fn append(&mut self, entry: AuditEntry, sync: bool) -> io::Result<u64> {
        let end = match self.end.take() {
            Some(end) => end,
            None => End::find(&self.directory)?,
        };
        // If anything fails from here on, the end is looked for again.
        let end = self.end.insert(written(end, &self.directory, self.long, entry, sync)?);
        Ok(end.number)
    }
}

fn written(
    end: End,
    directory: &Path,
    long: u64,
    entry: AuditEntry,
    sync: bool,
) -> io::Result<End> {
    let number = end.number + 1;
    let (file, length) = match end.file {
        Some(file) if end.length <= long => (file, end.length),
        // What is only in memory of the file before must not be lost behind what follows.
        Some(file) => {
            file.sync_data()?;
            (file::create(directory, number)?, 0)
        }
        None => (file::create(directory, number)?, 0),
    };
    let time = Timestamp::now().to_string();
    let entry = AuditEntry { number, time, previous: end.digest, ..entry };
    let mut line = serde_json::to_vec(&entry)?;
    let digest = sha256(&line);
    line.push(b'\n');
    file::append(&file, &line, sync)?;
    Ok(End { file: Some(file), length: length + line.len() as u64, number, digest })
}

impl End {
    /// Finds the last line on the disk.
    fn find(directory: &Path) -> io::Result<Self> {
        let mut parts = file::parts(directory)?;
        let mut end = Self { file: None, length: 0, number: 0, digest: none() };
        // A file that a crash left empty has no last line: that is in the one before.
        while let Some(part) = parts.pop() {
            let (file, content) = file::reopen(&part.path)?;
            if end.file.is_none() {
                (end.file, end.length) = (Some(file), content.len() as u64);
            }
            if let Some(last) = content.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()
                && !last.is_empty()
            {
                let lines = content.iter().filter(|byte| **byte == b'\n').count() as u64;
                let read = serde_json::from_slice::<AuditEntry>(last).map(|entry| entry.number);
                end.number = read.unwrap_or(part.first + lines.saturating_sub(1));
                end.digest = sha256(last);
                break;
            }
        }
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: &str) -> AuditEntry {
        AuditEntry { action: action.into(), by: "ann".into(), ..AuditEntry::default() }
    }

    /// A log of three attempts with results, over several files.
    fn filled(directory: &Path) -> AuditLog {
        let mut log = AuditLog { long: 300, ..AuditLog::new(directory) };
        for name in ["a", "b", "c"] {
            let number = log.attempt(entry(name)).unwrap();
            log.result(number, AuditEntry { result: Some("done".into()), ..entry(name) });
        }
        log
    }

    #[test]
    fn the_chain_goes_on_across_files_and_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let log = filled(directory.path());
        drop(log);
        let mut log = AuditLog::new(directory.path());
        assert_eq!(log.attempt(entry("d")).unwrap(), 7);
        let check = log.reader().verify().unwrap();
        assert_eq!((check.entries, check.last, check.fault), (7, 7, None));
        assert!(check.files > 2, "{}", check.files);
        let all = log.reader().entries(None, 100, |_| true).unwrap();
        let numbers: Vec<u64> = all.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
        let later = log.reader().entries(Some(3), 2, |_| true).unwrap();
        assert_eq!(later.iter().map(|entry| entry.number).collect::<Vec<_>>(), [4, 5]);
        let latest = log.reader().entries(None, 2, |_| true).unwrap();
        assert_eq!(latest.iter().map(|entry| entry.number).collect::<Vec<_>>(), [6, 7]);
    }

    #[test]
    fn any_change_of_a_line_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let log = filled(directory.path());
        let folder = directory.path().join(DIRECTORY);
        let parts = file::parts(&folder).unwrap();
        let path = &parts[0].path;
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let reordered = format!("{}\n{}\n", lines[1], lines[0]);
        for wrong in [
            text.replacen("ann", "eve", 1),
            text.lines().skip(1).map(|line| format!("{line}\n")).collect(),
            reordered,
            text.replacen('{', "[", 1),
            text.clone() + lines[0] + "\n",
            String::new(),
        ] {
            std::fs::write(path, wrong).unwrap();
            assert!(log.reader().verify().unwrap().fault.is_some());
        }
        std::fs::write(path, &text).unwrap();
        assert_eq!(log.reader().verify().unwrap().fault, None);
        std::fs::remove_file(&parts[1].path).unwrap();
        assert!(log.reader().verify().unwrap().fault.is_some(), "a file is missing");
    }

    #[test]
    fn a_torn_last_line_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        drop(filled(directory.path()));
        let folder = directory.path().join(DIRECTORY);
        let last = file::parts(&folder).unwrap().pop().unwrap().path;
        let mut torn = std::fs::read(&last).unwrap();
        torn.extend(b"{\"number\":7,\"ti");
        std::fs::write(&last, torn).unwrap();
        let mut log = AuditLog::new(directory.path());
        assert_eq!(log.attempt(entry("d")).unwrap(), 7);
        assert_eq!(log.reader().verify().unwrap().fault, None);
    }

    #[test]
    fn what_a_full_disk_refuses_is_an_error_and_results_follow_later() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = AuditLog::new(directory.path());
        let number = log.attempt(entry("a")).unwrap();
        let full = |log: &mut AuditLog| {
            let full = File::options().write(true).open("/dev/full").unwrap();
            log.end.as_mut().unwrap().file = Some(full);
        };
        full(&mut log);
        log.result(number, AuditEntry { result: Some("done".into()), ..entry("a") });
        assert_eq!(log.waiting.len(), 1);
        assert_eq!(log.attempt(entry("b")).unwrap(), 3, "after the result");
        full(&mut log);
        log.attempt(entry("c")).unwrap_err();
        let number = log.attempt(entry("d")).unwrap();
        log.result(number, entry("d"));
        let check = log.reader().verify().unwrap();
        assert_eq!((check.entries, check.fault), (5, None));
    }
}
