//! Locks: one daemon for each socket, state directory and pin directory.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use log::warn;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::chain::Chain;

/// A daemon cannot reserve what it needs for itself.
#[derive(Debug, thiserror::Error)]
pub enum InUse {
    /// Another daemon holds it.
    #[error(
        "another privatelink runs with {what} {}: stop it, or give this one a {what} of its own",
        path.display()
    )]
    Taken {
        /// What kind of thing it is.
        what: &'static str,
        /// Which one.
        path: PathBuf,
    },
    /// The lock file cannot be opened, locked or written.
    #[error("cannot reserve the {what} {}", path.display())]
    Failed {
        /// What kind of thing it is.
        what: &'static str,
        /// Which one.
        path: PathBuf,
        /// The failure of the system call.
        #[source]
        source: io::Error,
    },
}

/// Held while the daemon lives. The datapath locks the pin directory itself.
pub(super) struct Locks {
    _socket: Flock<File>,
    _state: Option<Flock<File>>,
}

/// Locks socket and state directory, and notes where pins and state are beside the socket.
pub(super) fn instance(socket: &Path, pin_dir: &Path, state_dir: &Path) -> Result<Locks, InUse> {
    let file = lock_file(socket);
    let what = "socket";
    let fail = |source| InUse::Failed { what, path: socket.to_owned(), source };
    let lock = reserve(what, socket, create(&file).map_err(fail)?)?;
    // `privatelink down` reads this where no daemon answers any more.
    note(&lock, pin_dir, state_dir).map_err(fail)?;
    let what = "state_dir";
    let fail = |source| InUse::Failed { what, path: state_dir.to_owned(), source };
    // A disk that is full or read-only stops no start: the lock is taken on what can be opened.
    let path = state_dir.join("lock");
    let state = create(&path).or_else(|error| {
        warn!("cannot create {}: {error}; locking what is there", path.display());
        File::open(&path).or_else(|_| File::open(state_dir)).map_err(fail)
    });
    let state = match state {
        Ok(file) => Some(reserve(what, state_dir, file)?),
        Err(error) => {
            warn!("{}; no other daemon is kept out of it", Chain(&error));
            None
        }
    };
    Ok(Locks { _socket: lock, _state: state })
}

/// The pin directory of the last daemon on this socket.
pub fn pin_dir_of(socket: &Path) -> Option<PathBuf> {
    noted(socket, 0)
}

/// The state directory of the last daemon on this socket.
pub fn state_dir_of(socket: &Path) -> Option<PathBuf> {
    noted(socket, 1)
}

/// A line of what the last daemon on this socket has noted.
fn noted(socket: &Path, line: usize) -> Option<PathBuf> {
    let bytes = fs::read(lock_file(socket)).ok()?;
    let line = bytes.split(|byte| *byte == b'\n').nth(line)?.to_vec();
    let path = PathBuf::from(OsString::from_vec(line));
    path.is_absolute().then_some(path)
}

/// Locks an open file or directory that stands for `path`.
///
/// # Errors
/// When another process holds the lock.
pub fn reserve(what: &'static str, path: &Path, file: File) -> Result<Flock<File>, InUse> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        let path = path.to_owned();
        if errno == Errno::EWOULDBLOCK {
            InUse::Taken { what, path }
        } else {
            InUse::Failed { what, path, source: errno.into() }
        }
    })
}

fn lock_file(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
}

fn note(mut file: &File, pin_dir: &Path, state_dir: &Path) -> io::Result<()> {
    file.set_len(0)?;
    let lines = [pin_dir, state_dir].map(|path| path.as_os_str().as_bytes());
    file.write_all(&lines.join(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_refused_by_what_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let first = instance(&path("run/a.sock"), &path("pins"), &path("state")).unwrap();
        assert_eq!(pin_dir_of(&path("run/a.sock")), Some(path("pins")));
        assert_eq!(state_dir_of(&path("run/a.sock")), Some(path("state")));
        let second = instance(&path("run/a.sock"), &path("pins"), &path("state2")).err().unwrap();
        assert!(second.to_string().contains("with socket "), "{second}");
        let third = instance(&path("run/b.sock"), &path("pins"), &path("state")).err().unwrap();
        assert!(third.to_string().contains("with state_dir "), "{third}");
        drop(first);
        instance(&path("run/a.sock"), &path("other"), &path("state")).unwrap();
        assert_eq!(pin_dir_of(&path("run/a.sock")), Some(path("other")));
        assert_eq!(pin_dir_of(&path("run/c.sock")), None);
    }
}
