//! `cargo xtask fmt`.

use anyhow::Result;

use crate::step::Step;

/// # Errors
/// When something is not formatted and `check` is set.
pub fn run(check: bool) -> Result<()> {
    Step::cargo("fmt").arg("--all").args(check.then_some("--check")).run()
}
