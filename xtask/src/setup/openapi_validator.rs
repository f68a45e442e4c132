//! openapi-spec-validator, which judges the OpenAPI document: a Python program in a folder of its
//! own.

use std::path::PathBuf;

use anyhow::Result;

use super::python;
use crate::workspace;

/// Another version may find other faults.
const PACKAGE: &str = "openapi-spec-validator==0.7.2";

/// Where it is once it is installed.
pub fn program() -> PathBuf {
    folder().join("bin/openapi-spec-validator")
}

fn folder() -> PathBuf {
    workspace::root().join("target/openapi-validator")
}

/// Installs it.
///
/// # Errors
/// When Python or the package cannot be had.
pub fn install() -> Result<()> {
    python::install(&folder(), PACKAGE)
}
