//! What can go wrong with the file that the state is kept in.

use std::{io, path::PathBuf};

use super::record::VERSION;

/// Why the state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: is the state directory on a full or read-only disk?", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file was changed after it was written.
    #[error(
        "{} is damaged in line {line}: restore it from a copy, or cut it off before that line, \
         which forgets what was decided since; to forget everything, run `privatelink down` and \
         remove the file",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first line that is not as it was written.
        line: u64,
    },
    /// The file is not one of ours.
    #[error("{} is no state of privatelink: give `state_dir` a directory of its own", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is of another release.
    #[error(
        "{} has version {found}, and this release reads version {VERSION}: start the release that \
         wrote it, or run `privatelink down` and remove the file, which forgets all decisions",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}
