//! `cargo xtask clippy`: the host's code and, for its own target, the datapath.

use anyhow::{Context as _, Result};

use crate::setup;
use crate::step::Step;
use crate::workspace;

const DENY: [&str; 3] = ["--", "-D", "warnings"];

/// # Errors
/// When clippy has anything to say.
pub fn run() -> Result<()> {
    host()?;
    datapath()
}

/// The workspace, as it is for the host.
///
/// # Errors
/// When clippy has anything to say.
pub fn host() -> Result<()> {
    setup::toolchain()?;
    Step::cargo("clippy").args(["--workspace", "--all-targets"]).args(DENY).run()
}

/// The datapath's binary, which is all but empty on the host.
///
/// # Errors
/// When clippy has anything to say, or the compiler of the datapath has none.
pub fn datapath() -> Result<()> {
    let toolchain = setup::toolchain()?;
    let step = Step::from(toolchain.cargo(&workspace::root(), "clippy")).args(DENY);
    step.run().context("for the BPF target")
}
