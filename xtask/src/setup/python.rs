//! Python packages, each in a folder of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::packages;
use crate::step::Step;

/// Installs a package of a version into a folder.
///
/// # Errors
/// When Python or the package cannot be had.
pub fn install(folder: &Path, package: &str) -> Result<()> {
    let note = folder.join("installed");
    if std::fs::read_to_string(&note).is_ok_and(|installed| installed == package) {
        println!("setup: {package} is there");
        return Ok(());
    }
    if environment(folder).is_err() {
        packages::install_missing(&[packages::PYTHON])?;
        environment(folder)?;
    }
    Step::limited(Duration::from_secs(600), folder.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", package])
        .run()
        .context("cannot install the Python package")?;
    std::fs::write(&note, package).with_context(|| format!("cannot write {}", note.display()))
}

fn environment(folder: &Path) -> Result<()> {
    let step = Step::limited(Duration::from_secs(120), "python3").args(["-m", "venv"]);
    step.arg(folder).run().context("Python cannot make a folder for its packages")
}
