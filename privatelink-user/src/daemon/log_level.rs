//! Which messages are logged.

use std::env;

use log::LevelFilter;

use crate::model::LogLevel;

/// Logs messages from this level on, unless the environment says which.
pub(super) fn log_at(level: LogLevel) {
    if env::var_os("RUST_LOG").is_some() {
        return;
    }
    log::set_max_level(match level {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
    });
}
