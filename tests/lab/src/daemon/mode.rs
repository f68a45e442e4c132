//! The mode in which a suite runs.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::tool;

/// Names the mode in which suites run: `native`, `generic` or `tc`.
const MODE: &str = "PRIVATELINK_TEST_MODE";

/// Gives networks without a `mode` the one that this run is about: native, unless the environment
/// says another. The interfaces of a lab would be served by tc otherwise.
///
/// # Errors
/// When the daemon's program cannot be run.
pub(super) fn choose(table: &mut toml::Table, binary: &Path) -> Result<()> {
    // A release before this one does not know the key.
    let schema = tool::run(Command::new(binary).arg("schema"))?;
    if !schema.contains("\"native\"") {
        return Ok(());
    }
    let mode = std::env::var(MODE).unwrap_or_else(|_| "native".to_owned());
    let networks = table.get_mut("network").and_then(toml::Value::as_array_mut);
    for network in networks.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        network.entry("mode").or_insert_with(|| mode.clone().into());
    }
    Ok(())
}
