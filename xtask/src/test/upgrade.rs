//! The daemon of the previous release, for the suite that changes between it and this one.
//!
//! It is built once, from git, in a checkout of its own below the target directory.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::{step::Step, workspace};

/// The suite's name.
pub const SUITE: &str = "upgrade";
/// The variable by which the suite finds the binary.
pub const VARIABLE: &str = "PRIVATELINK_PREVIOUS";
/// The commit of the previous release. A release moves it to the one before its own.
const COMMIT: &str = "0351ae3";

fn checkout() -> PathBuf {
    workspace::target_dir().join("previous-release").join(COMMIT)
}

/// Where the binary is, once it is built.
pub fn binary() -> PathBuf {
    checkout().join("target/debug/privatelink")
}

/// Whether it is built.
pub fn is_built() -> bool {
    binary().exists()
}

/// Builds it, unless it is built.
///
/// # Errors
/// When git has no such commit, or it does not compile.
pub fn build() -> Result<()> {
    if is_built() {
        return Ok(());
    }
    let checkout = checkout();
    if !checkout.exists() {
        Step::new("git")
            .args(["worktree", "add", "--detach"])
            .arg(&checkout)
            .arg(COMMIT)
            .run()
            .with_context(|| format!("cannot check out {COMMIT}: fetch the whole history"))?;
    }
    Step::cargo("build")
        .args(["--package", "privatelink-user", "--bin", "privatelink"])
        .env("CARGO_TARGET_DIR", checkout.join("target"))
        .current_dir(&checkout)
        .run()?;
    ensure!(is_built(), "cargo built no {}", binary().display());
    Ok(())
}
