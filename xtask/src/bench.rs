//! `cargo xtask bench`: builds and starts the benchmark.

use std::ffi::OsString;

use anyhow::Result;

use crate::progress;
use crate::setup;
use crate::step::Step;
use crate::test::suites::PACKAGE;
use crate::workspace;

/// # Errors
/// When the machine cannot be set up or something does not compile.
pub fn run(arguments: &[OsString]) -> Result<()> {
    setup::tools()?;
    let release = [&["--release"], &progress::daemon_and(PACKAGE, "bench")[..]].concat();
    progress::build(&release)?;
    Step::new(workspace::target_dir().join("release/bench")).args(arguments).exec()
}
