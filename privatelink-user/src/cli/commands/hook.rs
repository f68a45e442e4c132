//! `privatelink run-hook`: the process that becomes a subscriber's program, without any rights.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::events;

#[derive(Debug, Args)]
pub struct RunHookArgs {
    /// The unix user to run the program as, if root starts it
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,

    /// The program
    #[arg(value_name = "PROGRAM")]
    pub program: PathBuf,
}

impl RunHookArgs {
    pub fn run(&self) -> Result<()> {
        events::run_hook(&self.program, self.user.as_deref())
    }
}
