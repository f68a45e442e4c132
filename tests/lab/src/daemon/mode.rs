//! The mode in which a suite runs.

/// Names the mode in which suites run: `native`, `generic` or `tc`.
const MODE: &str = "PRIVATELINK_TEST_MODE";

/// Gives networks without a `mode` the one that this run is about: native, unless the environment
/// says another. The interfaces of a lab would be served by tc otherwise.
pub(super) fn choose(table: &mut toml::Table) {
    let mode = std::env::var(MODE).unwrap_or_else(|_| "native".to_owned());
    let networks = table.get_mut("network").and_then(toml::Value::as_array_mut);
    for network in networks.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        network.entry("mode").or_insert_with(|| mode.clone().into());
    }
}
