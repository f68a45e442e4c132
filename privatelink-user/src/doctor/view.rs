//! The host as a tree of files.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use nix::sys::statvfs::statvfs;

/// A host that is looked at.
#[derive(Clone, Debug)]
pub struct HostView {
    root: PathBuf,
    /// Seconds since 1970.
    pub now: u64,
    /// How much room file systems have; tests say it, the kernel does otherwise.
    pub room: Option<Room>,
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that may still be written.
    pub free: u64,
    /// Files that may still be made.
    pub files: u64,
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub at: PathBuf,
    /// Of which kind.
    pub kind: String,
    /// Whether nothing can be written to it.
    pub is_read_only: bool,
}

impl HostView {
    /// This host.
    pub fn real() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Self { root: "/".into(), now, room: None }
    }

    /// A host whose files are below a directory.
    pub fn below(root: &Path, now: u64) -> Self {
        Self { root: root.to_owned(), now, room: None }
    }

    fn place(&self, path: impl AsRef<Path>) -> PathBuf {
        let parts = path.as_ref().components();
        let parts = parts.filter(|part| matches!(part, Component::Normal(_)));
        self.root.join(parts.collect::<PathBuf>())
    }

    /// A file's text, without the white space around it; `None` if it cannot be read.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        Some(fs::read_to_string(self.place(path)).ok()?.trim().to_owned())
    }

    /// A file's number.
    pub fn number(&self, path: impl AsRef<Path>) -> Option<i64> {
        self.text(path)?.parse().ok()
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn bytes(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        fs::read(self.place(path))
    }

    /// Whether there is something at a path.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.place(path).symlink_metadata().is_ok()
    }

    /// The names in a directory, in order; none if it cannot be read.
    pub fn list(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.place(path)).into_iter().flatten();
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        let mut names: Vec<String> =
            names.map(OsString::into_string).filter_map(Result::ok).collect();
        names.sort();
        names
    }

    /// Who may do what to a file: the bits of `chmod`.
    pub fn mode(&self, path: impl AsRef<Path>) -> Option<u32> {
        Some(fs::metadata(self.place(path)).ok()?.permissions().mode() & 0o7777)
    }

    /// The nearest directory that exists: a path itself, or one that holds it.
    pub fn nearest(&self, path: &Path) -> PathBuf {
        let found = path.ancestors().find(|path| self.exists(path));
        found.unwrap_or(Path::new("/")).to_owned()
    }

    /// The room on the file system that holds a path.
    pub fn room_at(&self, path: &Path) -> Option<Room> {
        if self.room.is_some() {
            return self.room;
        }
        let known = statvfs(&self.place(self.nearest(path))).ok()?;
        let free = known.blocks_available() * known.fragment_size();
        // Some file systems make files as they need them.
        let files = if known.files() == 0 { u64::MAX } else { known.files_available() };
        Some(Room { free, files })
    }

    /// The file system that holds a path.
    pub fn mount_of(&self, path: &Path) -> Option<Mount> {
        let mounts = self.text("/proc/mounts")?;
        let mounts = mounts.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (at, kind, options) = (words.next()?, words.next()?, words.next()?);
            let is_read_only = options.split(',').any(|option| option == "ro");
            Some(Mount { at: at.into(), kind: kind.to_owned(), is_read_only })
        });
        // Of several on top of each other the last is seen.
        let mounts: Vec<Mount> = mounts.filter(|mount| path.starts_with(&mount.at)).collect();
        mounts.into_iter().max_by_key(|mount| mount.at.components().count())
    }
}
