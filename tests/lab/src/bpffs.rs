//! The file system in which pinned programs and maps are visible.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::namespace;

/// The usual mount point.
pub const ROOT: &str = "/sys/fs/bpf";

/// Mounts the file system unless it is mounted; init systems do so, bare containers do not.
///
/// # Errors
/// When the kernel refuses the mount.
pub fn ensure() -> Result<()> {
    let _one_at_a_time = namespace::machine_lock()?;
    let found = statfs(ROOT).with_context(|| format!("cannot look at {ROOT}"))?;
    if found.filesystem_type() == BPF_FS_MAGIC {
        return Ok(());
    }
    mount(Some("bpf"), ROOT, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("cannot mount the BPF file system on {ROOT}"))
}

/// A separate BPF file system, whose root every user may pass; unmounted when dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts it at `path`, which is made.
    ///
    /// # Errors
    /// When the kernel refuses the mount.
    pub fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        mount(Some("bpf"), &path, Some("bpf"), MsFlags::empty(), Some("mode=0711"))
            .with_context(|| format!("cannot mount a BPF file system on {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH) {
            eprintln!("lab: cannot unmount {}: {error}", self.0.display());
        }
    }
}
