//! Events on disk, so that followers lose none when the daemon restarts.
//!
//! The file has one event a line. It is not synced: after a power failure the latest events may be
//! missing, but the state that they describe is not.

use std::{
    collections::VecDeque,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use log::warn;

use super::{retention, stored::StoredEvent};

/// Name of the file in the state directory.
const FILE: &str = "events.jsonl";

/// The file. It holds every event to keep, and is rewritten before it holds more than twice as many
/// lines.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    /// Lines in the file; `None` if its content is unknown and the next write must rewrite it.
    lines: Option<usize>,
    capacity: usize,
    /// Whether a failed write has been logged; a repeated failure is not.
    broken: bool,
}

impl EventFile {
    /// Reads the events to keep, up to `capacity` of connections and as many others. A line that does not parse was torn by a crash.
    pub fn open(directory: &Path, capacity: usize) -> (Self, VecDeque<StoredEvent>) {
        let path = directory.join(FILE);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!("earlier events are lost: cannot read {}: {error}", path.display());
                }
                String::new()
            }
        };
        let mut entries: VecDeque<StoredEvent> = VecDeque::new();
        for entry in text.lines().filter_map(|line| serde_json::from_str::<StoredEvent>(line).ok())
        {
            // Numbers only grow: skip lines that this bus did not write.
            if entries.back().is_none_or(|last| last.event.number < entry.event.number) {
                entries.push_back(entry);
            }
        }
        retention::trim(&mut entries, capacity);
        (Self { path, lines: None, capacity, broken: false }, entries)
    }

    /// Adds events; `all` holds every event to keep, including the new ones.
    pub fn append(&mut self, new: &[StoredEvent], all: &VecDeque<StoredEvent>) {
        let lines = self.lines.map(|lines| lines + new.len());
        let written = match lines {
            Some(lines) if lines <= 2 * self.capacity.max(all.len()) => {
                self.add(new).map(|()| lines)
            }
            Some(_) | None => self.rewrite(all).map(|()| all.len()),
        };
        self.lines = written.as_ref().ok().copied();
        match written {
            Ok(_) => self.broken = false,
            Err(error) if !self.broken => {
                self.broken = true;
                let path = self.path.display();
                warn!("events will not survive a restart: cannot write {path}: {error}");
            }
            Err(_) => {}
        }
    }

    fn add(&self, new: &[StoredEvent]) -> io::Result<()> {
        OpenOptions::new().append(true).open(&self.path)?.write_all(&lines(new)?)
    }

    fn rewrite(&self, all: &VecDeque<StoredEvent>) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let temporary = self.path.with_extension("jsonl.new");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&lines(all)?)?;
        fs::rename(&temporary, &self.path)
    }
}

fn lines<'a>(entries: impl IntoIterator<Item = &'a StoredEvent>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::types::{About, Event};

    fn entry(number: u64) -> StoredEvent {
        let event = Event {
            number,
            time: "1970-01-01T00:00:00.000Z".into(),
            kind: "gateway-ready".into(),
            text: format!("event {number}"),
            about: About::default(),
        };
        StoredEvent { event, audience: ["acme".parse().unwrap()].into(), maker: None }
    }

    #[test]
    fn a_torn_line_costs_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, mut all) = EventFile::open(directory.path(), 3);
        for number in 1..=5 {
            all.push_back(entry(number));
            all.drain(..all.len().saturating_sub(3));
            file.append(&[entry(number)], &all);
        }
        let path = directory.path().join(FILE);
        let mut text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 5);
        text += r#"{"number":6,"ti"#;
        fs::write(&path, text).unwrap();
        let (mut file, found) = EventFile::open(directory.path(), 3);
        assert_eq!(found, all);
        // The next event must not be appended to the torn line.
        all.push_back(entry(7));
        file.append(&[entry(7)], &all);
        assert_eq!(EventFile::open(directory.path(), 9).1, all);
    }

    #[test]
    fn the_file_stays_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, mut all) = EventFile::open(directory.path(), 10);
        for number in 1..=1_000 {
            all.push_back(entry(number));
            all.drain(..all.len().saturating_sub(10));
            file.append(&[entry(number)], &all);
            let text = fs::read_to_string(directory.path().join(FILE)).unwrap();
            assert!((all.len()..=20).contains(&text.lines().count()), "{number}");
        }
        assert_eq!(EventFile::open(directory.path(), 10).1, all);
    }

    #[test]
    fn without_a_disk_the_daemon_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("file");
        fs::write(&blocked, "").unwrap();
        let (mut file, mut all) = EventFile::open(&blocked, 10);
        all.push_back(entry(1));
        file.append(&[entry(1)], &all);
        assert!(file.broken);
    }
}
