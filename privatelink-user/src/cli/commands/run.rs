//! `privatelink run`: the daemon.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    cli::{globals::Globals, logging},
    config::DEFAULT_PATH,
    daemon::{self, Options},
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        Ok(runtime.block_on(daemon::run(options))?)
    }
}
