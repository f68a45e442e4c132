//! flowlogs-reader, which reads AWS VPC Flow Logs: a Python package in a folder of its own.

use std::path::PathBuf;

use anyhow::Result;

use super::python;
use crate::workspace;

/// Another version may read other fields.
const PACKAGE: &str = "flowlogs-reader==5.0.1";

/// The Python that has it once it is installed.
pub fn program() -> PathBuf {
    folder().join("bin/python")
}

fn folder() -> PathBuf {
    workspace::root().join("target/flow-reader")
}

/// Installs it.
///
/// # Errors
/// When Python or the package cannot be had.
pub fn install() -> Result<()> {
    python::install(&folder(), PACKAGE)
}
