//! `privatelink run`: the daemon.

use std::{env, io, os::unix::process::CommandExt as _, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    cli::{globals::Globals, logging},
    config::DEFAULT_PATH,
    daemon::{self, Options, Outcome},
    supervision,
};

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration: a file, or a directory of *.toml
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
}

impl RunArgs {
    pub fn run(&self, globals: &Globals) -> Result<()> {
        let options = Options { config: self.config.clone(), socket: globals.socket.clone() };
        logging::start();
        supervision::note_panics();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        match runtime.block_on(daemon::run(options))? {
            Outcome::Ends => Ok(()),
            Outcome::Restarts => Err(start_again()).context("cannot start the daemon again"),
        }
    }
}

/// Replaces this process by the same program with the same arguments; returns only if that fails.
fn start_again() -> io::Error {
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    // This very program, even if another release has been installed in its place.
    Command::new("/proc/self/exe").arg0(name).args(arguments).exec()
}
