//! A wall clock that a test sets while the daemon runs.
//!
//! Namespaces have no wall clock of their own, and the machine's must not be set. So the daemon is
//! started with a library that adds to what its C library says of the wall clock, and of that alone.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    process::Command,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::lab::{Daemon, tool};

const SOURCE: &str = include_str!("wall_clock.c");

/// The wall clock of one daemon.
#[derive(Debug)]
pub struct WallClock {
    folder: TempDir,
    file: File,
}

impl WallClock {
    /// A clock that is as the machine's.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let source = folder.path().join("wall_clock.c");
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
        tool::run(compiler.arg(folder.path().join("wall_clock.so")).arg(&source))?;
        let file = File::create(folder.path().join("ahead"))?;
        let clock = Self { folder, file };
        clock.set(0)?;
        Ok(clock)
    }

    /// Starts a daemon that has this clock.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn run(&self, daemon: &mut Daemon) -> Result<()> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let library = format!("LD_PRELOAD={}", path("wall_clock.so"));
        daemon.run_under(&["env", &library, &format!("WALL_CLOCK={}", path("ahead"))])
    }

    /// Sets it so many seconds ahead of the machine's.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, ahead: i64) -> Result<()> {
        self.file.write_all_at(&ahead.to_ne_bytes(), 0).context("cannot set the clock")
    }
}
