//! The daemon as the packaged unit runs it: an ordinary user with a few capabilities.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{Daemon, find_binary};
use crate::{bpffs, namespace::Namespace};

/// A user and a group that own nothing.
const NOBODY: u32 = 65_534;

impl Daemon {
    /// Starts the daemon as an ordinary user with these capabilities, and with a pin directory as
    /// the packaged `tmpfiles.d` creates it.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_unprivileged(
        gateway: &Namespace,
        config: &str,
        capabilities: &[&str],
    ) -> Result<Self> {
        let files = TempDir::new().context("cannot make a directory for the daemon's files")?;
        chown(files.path(), Some(NOBODY), Some(NOBODY))?;
        // Other users may not have access to the build directory.
        let binary = files.path().join("privatelink");
        fs::copy(find_binary()?, &binary).context("cannot copy the daemon")?;
        let pins = bpffs::Mount::new(files.path().join("bpf"))?;
        let pin_dir = pins.path().join("privatelink");
        fs::create_dir(&pin_dir)?;
        chown(&pin_dir, Some(NOBODY), Some(NOBODY))?;
        fs::set_permissions(&pin_dir, fs::Permissions::from_mode(0o700))?;
        let these = capabilities.iter().map(|one| format!(",+{one}")).collect::<String>();
        let mut daemon = Self {
            gateway: gateway.clone(),
            binary,
            pins: Some(pins),
            files,
            pin_dir,
            wrapper: vec![
                "setpriv".into(),
                format!("--reuid={NOBODY}"),
                format!("--regid={NOBODY}"),
                "--clear-groups".into(),
                "--no-new-privs".into(),
                format!("--inh-caps=-all{these}"),
                format!("--ambient-caps=-all{these}"),
                format!("--bounding-set=-all{these}"),
                "--".into(),
            ],
            process: None,
            down: false,
        };
        daemon.write_config(config)?;
        daemon.run()?;
        Ok(daemon)
    }
}
