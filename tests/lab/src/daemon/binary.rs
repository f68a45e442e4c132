//! The `privatelink` binary that labs run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use anyhow::{Context, Result, bail};

use crate::tool;

/// The variable that names the `privatelink` binary to test; by default the one beside the test's
/// build.
pub const BINARY: &str = "PRIVATELINK_BIN";

/// Finds the `privatelink` binary, and builds it when there is none yet.
///
/// # Errors
/// When it is nowhere and cannot be built.
pub fn find_binary() -> Result<PathBuf> {
    static ONE_BUILD: Mutex<()> = Mutex::new(());
    if let Some(path) = env::var_os(BINARY) {
        return Ok(path.into());
    }
    let own = env::current_exe().context("cannot find this program's own path")?;
    // Tests live in PROFILE/deps, binaries in PROFILE.
    let profile = own
        .ancestors()
        .skip(1)
        .find(|directory| directory.file_name().is_some_and(|name| name != "deps"))
        .context("this program is not in a build directory")?;
    let binary = profile.join("privatelink");
    let _one_build = ONE_BUILD.lock();
    if !binary.exists() {
        build(profile)?;
    }
    if !binary.exists() {
        bail!("no {}: run `cargo xtask build`, or set {BINARY}", binary.display());
    }
    Ok(binary)
}

fn build(profile: &Path) -> Result<()> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--package", "privatelink-user", "--bin", "privatelink"]);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    eprintln!("lab: no privatelink binary yet: {}", tool::line(&command));
    tool::run(&mut command)?;
    Ok(())
}
