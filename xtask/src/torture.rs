//! `cargo xtask torture`: builds and starts the attacks on the isolation of tenants.

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
    let release = [&["--release"], &progress::daemon_and(PACKAGE, "torture")[..]].concat();
    progress::build(&release)?;
    Step::new(workspace::target_dir().join("release/torture")).args(arguments).exec()
}
