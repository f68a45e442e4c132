//! `cargo xtask docs`: the sections of `docs/` that are generated from code.
//!
//! xtask depends on none of our crates, so a program of the tests' crate does the work.

use anyhow::Result;

use crate::setup;
use crate::step::Step;
use crate::unsafe_code;

/// # Errors
/// When a page cannot be written, or is out of date and `check` is set.
pub fn run(check: bool) -> Result<()> {
    setup::toolchain()?;
    unsafe_code::write(check)?;
    Step::cargo("run")
        .args(["--quiet", "--package", "privatelink-tests", "--bin", "docs", "--"])
        .args(check.then_some("--check"))
        .run()
}
