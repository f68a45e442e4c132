//! schemathesis, which thinks of requests to an interface that an OpenAPI document describes: a
//! Python program in a folder of its own.

use std::path::PathBuf;

use anyhow::Result;

use super::python;
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
    python::install(&folder(), PACKAGE)
}
