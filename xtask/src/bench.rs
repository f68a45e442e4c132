//! `cargo xtask bench`: builds and starts the benchmark.

use std::ffi::OsString;

use anyhow::Result;

use crate::progress;
use crate::setup;
use crate::step::Step;
use crate::workspace;

/// # Errors
/// When the machine cannot be set up or something does not compile.
pub fn run(arguments: &[OsString]) -> Result<()> {
    setup::tools()?;
    progress::build(&progress::daemon_and("bench"))?;
    Step::new(workspace::target_dir().join("release/bench")).args(arguments).exec()
}
