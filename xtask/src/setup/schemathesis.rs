//! schemathesis, which thinks of requests to an interface that an OpenAPI document describes: a
//! Python program in a folder of its own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::packages;
use crate::step::Step;
use crate::workspace;

/// Another version thinks of other requests.
const PACKAGE: &str = "schemathesis==4.32.5";

/// Where it is once it is installed.
pub fn program() -> PathBuf {
    folder().join("bin/schemathesis")
}

fn folder() -> PathBuf {
    workspace::root().join("target/schemathesis")
}

/// Installs it.
///
/// # Errors
/// When Python or the package cannot be had.
pub fn install() -> Result<()> {
    let note = folder().join("installed");
    if std::fs::read_to_string(&note).is_ok_and(|installed| installed == PACKAGE) {
        println!("setup: {PACKAGE} is there");
        return Ok(());
    }
    if environment().is_err() {
        packages::install_missing(packages::PYTHON)?;
        environment()?;
    }
    Step::limited(Duration::from_secs(600), folder().join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", PACKAGE])
        .run()
        .context("cannot install the Python package")?;
    std::fs::write(&note, PACKAGE).with_context(|| format!("cannot write {}", note.display()))
}

fn environment() -> Result<()> {
    let step = Step::limited(Duration::from_secs(120), "python3").args(["-m", "venv"]);
    step.arg(folder()).run().context("Python cannot make a folder for its packages")
}
