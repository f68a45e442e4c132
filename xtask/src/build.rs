//! `cargo xtask build`: the whole workspace.

use anyhow::Result;

use crate::setup;
use crate::step::Step;

/// # Errors
/// When the toolchain cannot be had or something does not compile.
pub fn run(release: bool) -> Result<()> {
    setup::toolchain()?;
    Step::cargo("build").arg("--workspace").args(release.then_some("--release")).run()
}
