//! `cargo xtask doc`: the crates' documentation, without a broken link.

use anyhow::Result;

use crate::setup;
use crate::step::Step;

/// # Errors
/// When rustdoc warns about anything.
pub fn run() -> Result<()> {
    setup::toolchain()?;
    Step::cargo("doc")
        .args(["--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-Dwarnings")
        .run()
}
