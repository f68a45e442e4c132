//! The file system in which pinned programs and maps are visible.

use anyhow::{Context, Result};
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::namespace;

/// Where it is by convention.
pub const ROOT: &str = "/sys/fs/bpf";

/// Mounts the file system unless it is there; init systems do so, bare containers do not.
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
