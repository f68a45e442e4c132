//! The indices on disk.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Ids;

/// Changes whenever a daemon of the version before would misread the file.
const VERSION: u32 = 1;

/// The file that keeps the indices from one run of the daemon to the next.
#[derive(Clone, Debug)]
pub struct IdFile {
    directory: PathBuf,
}

/// Why the indices cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
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
    /// The file is damaged.
    #[error(
        "{} is damaged: run `privatelink down` and remove the file to start afresh, which ends \
         every flow",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
    /// The file is of another release.
    #[error(
        "{} has version {found}, and this release reads version {VERSION}: start the release \
         that wrote it, or run `privatelink down` and remove the file, which ends every flow",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Content<T> {
    version: u32,
    indices: T,
}

impl IdFile {
    /// Names the file; nothing is touched yet.
    pub fn new(state_dir: &Path) -> Self {
        Self { directory: state_dir.to_owned() }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("indices.json")
    }

    /// Reads the indices; none at all where there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn load(&self) -> Result<Ids, FileError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ids::default()),
            Err(source) => return Err(FileError::Read { path, source }),
        };
        let damaged = |source| FileError::Damaged { path: path.clone(), source };
        let header: Header = serde_json::from_slice(&text).map_err(damaged)?;
        if header.version != VERSION {
            return Err(FileError::Version { path, found: header.version });
        }
        let content: Content<Ids> = serde_json::from_slice(&text).map_err(damaged)?;
        Ok(content.indices)
    }

    /// Writes the indices so that either the old file or the new one survives a crash.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, ids: &Ids) -> Result<(), FileError> {
        let path = self.path();
        self.replace(&path, ids).map_err(|source| FileError::Write { path, source })
    }

    fn replace(&self, path: &Path, indices: &Ids) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let temporary = path.with_extension("json.new");
        let mut file = File::create(&temporary)?;
        let content = Content { version: VERSION, indices };
        file.write_all(&serde_json::to_vec(&content)?)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // Without this, the rename itself may be lost.
        File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let file = IdFile::new(&directory.path().join("state"));
        assert!(file.load().unwrap().is_empty());
        let mut ids = Ids::default();
        ids.networks.assign(["a".to_string()].into_iter(), "networks", 9).unwrap();
        file.save(&ids).unwrap();
        assert_eq!(file.load().unwrap(), ids);
    }

    #[test]
    fn a_file_that_is_not_understood_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = IdFile::new(directory.path());
        for (text, says) in [
            ("{", "is damaged"),
            (r#"{"version": 1, "indices": 3}"#, "is damaged"),
            (r#"{"version": 2, "indices": {"new": true}}"#, "has version 2"),
        ] {
            fs::write(file.path(), text).unwrap();
            let error = file.load().unwrap_err().to_string();
            assert!(error.contains("indices.json") && error.contains(says), "{error}");
        }
    }
}
