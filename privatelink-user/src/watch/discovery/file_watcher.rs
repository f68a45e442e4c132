//! Reads targets from files that other programs write, and rereads the files when they change.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use tokio::{sync::mpsc::UnboundedSender, task::spawn_blocking, time::sleep};

use super::{
    finding::{Finding, WatchedFile},
    tasks::Tasks,
};
use crate::{
    config::target_list,
    state::targets::Listed,
    supervision::{keep_polling, pass_on},
};

/// Poll interval.
const LOOK: Duration = Duration::from_secs(1);
/// Maximum size of a file; more targets than a service can have fit into it.
const LONGEST: u64 = 4 << 20;

/// Polls files, until it is dropped.
#[derive(Debug)]
pub struct FileWatcher {
    tasks: Tasks<WatchedFile>,
    findings: UnboundedSender<Finding>,
}

impl FileWatcher {
    /// Watches nothing yet; results will go to `findings`.
    pub fn new(findings: UnboundedSender<Finding>) -> Self {
        Self { tasks: Tasks::default(), findings }
    }

    /// Watches these files from now on, and no others.
    pub fn follow(&mut self, wanted: &BTreeSet<WatchedFile>) {
        self.tasks.follow(wanted, |watched| {
            let findings = self.findings.clone();
            tokio::spawn(async move {
                let begin = || poll(watched.clone(), findings.clone());
                keep_polling("a watcher of files", begin).await;
            })
        });
    }
}

/// Device, inode, modification time and size: changes when the file is written or replaced.
type Stamp = (u64, u64, i64, i64, u64);
/// A file's stamp, or why it cannot be read.
type Seen = Result<Stamp, String>;

async fn poll(watched: WatchedFile, findings: UnboundedSender<Finding>) {
    let mut last = None;
    let mut seen = None;
    loop {
        let file = watched.file.clone();
        // On a thread of its own: a network file system may block.
        let looked = spawn_blocking(move || look(&file, seen)).await;
        let (stamp, found) = match looked {
            Ok(looked) => looked,
            // Unless it panicked, the runtime is shutting down.
            Err(error) => return pass_on(error),
        };
        seen = Some(stamp);
        if found.is_some() && last != found {
            last.clone_from(&found);
            if let Some(found) = found
                && findings.send(Finding::File(watched.clone(), found)).is_err()
            {
                return;
            }
        }
        sleep(LOOK).await;
    }
}

/// The content of a file if its stamp has changed.
fn look(file: &Path, seen: Option<Seen>) -> (Seen, Option<Result<Vec<Listed>, String>>) {
    // Read the stamp before the content: a write in between then changes the next stamp.
    let stamp = stamp(file);
    let found = (seen.as_ref() != Some(&stamp)).then(|| stamp.clone().and_then(|_| read(file)));
    (stamp, found)
}

fn stamp(file: &Path) -> Result<Stamp, String> {
    let data = fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    Ok((data.dev(), data.ino(), data.mtime(), data.mtime_nsec(), data.size()))
}

fn read(file: &Path) -> Result<Vec<Listed>, String> {
    let data = fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if !data.is_file() || data.len() > LONGEST {
        return Err(unreadable(
            file,
            &format!("it is not a regular file of at most {LONGEST} bytes"),
        ));
    }
    let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    target_list(file, &text).map_err(|faults| faults.brief())
}

fn unreadable(file: &Path, why: &dyn std::fmt::Display) -> String {
    format!("cannot read {}: {why}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{sync::mpsc, time::timeout};

    /// On a busy machine.
    const SOON: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_changed_file_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("list.toml");
        let watched = WatchedFile { service: "web".parse().unwrap(), file: file.clone() };
        let (findings, mut found) = mpsc::unbounded_channel();
        let mut watcher = FileWatcher::new(findings);
        watcher.follow(&[watched.clone()].into());
        let mut next = async || {
            let finding = timeout(SOON, found.recv()).await.unwrap().unwrap();
            let Finding::File(of, found) = finding else { panic!("{finding:?}") };
            assert_eq!(of, watched);
            found.map(|all| all.iter().map(|one| one.address.to_string()).collect::<Vec<_>>())
        };
        assert!(next().await.unwrap_err().contains("No such file"));
        fs::write(&file, "[[target]]\naddress = \"10.0.0.1\"\n").unwrap();
        assert_eq!(next().await.unwrap(), ["10.0.0.1"]);
        fs::write(&file, "[[target]]\naddress =").unwrap();
        assert!(next().await.unwrap_err().contains("list.toml:2:"));
        let other = directory.path().join("other.toml");
        fs::write(&other, "[[target]]\naddress = \"10.0.0.2\"\n").unwrap();
        fs::rename(&other, &file).unwrap();
        assert_eq!(next().await.unwrap(), ["10.0.0.2"]);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(next().await.unwrap_err().contains("it is not a regular file of at most"));
    }
}
