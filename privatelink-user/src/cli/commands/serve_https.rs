//! `privatelink serve-https`: the process that the daemon starts for callers on other hosts.

use anyhow::Result;

use crate::{api::front::process, cli::logging};

/// Serves on the socket that is standard input.
pub fn run() -> Result<()> {
    logging::start(None);
    process::serve()
}
