//! What can go wrong with the file that the state is kept in.

use std::{io, path::PathBuf};

use super::record::VERSION;

/// Why the state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Path of the journal.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: is the state directory on a full or read-only disk?", path.display())]
    Write {
        /// Path of the journal.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        source: io::Error,
    },
    /// A line of the file differs from what was written.
    #[error(
        "{} is damaged in line {line}: restore it from a copy, or truncate it before that line, \
         which loses all later decisions; to lose everything, run `privatelink down` and \
         remove the file",
        path.display()
    )]
    Damaged {
        /// Path of the journal.
        path: PathBuf,
        /// The first line that is not as it was written.
        line: u64,
    },
    /// The file was not written by privatelink.
    #[error("{} is not a state file of privatelink: set `state_dir` to a directory of its own", path.display())]
    Foreign {
        /// Path of the journal.
        path: PathBuf,
    },
    /// The file has the format of another release.
    #[error(
        "{} has version {found}, and this release reads version {VERSION}: start the release that \
         wrote it, or run `privatelink down` and remove the file, which loses all decisions",
        path.display()
    )]
    Version {
        /// Path of the journal.
        path: PathBuf,
        /// Version of its format.
        found: u32,
    },
    /// Another gateway has changed the same things.
    #[error("another gateway has just changed the same things: try again")]
    Conflict,
    /// The store of the fleet is not reached, and nothing was sent to it.
    #[error(
        "the store of the fleet is not reached, so nothing that it keeps can change, except that \
         `privatelink reject` acts on this gateway at once: {0}"
    )]
    Unreachable(String),
    /// The store of the fleet has not answered.
    #[error(
        "the store of the fleet has not answered, so the change may still be made: look again once \
         it answers: {0}"
    )]
    Uncertain(String),
    /// The store of the fleet refuses the change.
    #[error("the store of the fleet refuses the change: {0}")]
    Refused(String),
    /// There is no local copy of the group's state, and its store is not reached.
    #[error(
        "this gateway has no copy of its group's state yet, and the store of the fleet is not \
         reached: start it once the store answers: {0}"
    )]
    NeverReached(String),
}
