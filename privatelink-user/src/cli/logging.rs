//! The log of the processes that keep running: the daemon and its name server.

/// Logs to standard error what `RUST_LOG` asks for, by default from level `info` on.
pub fn start() {
    let filter = env_logger::Env::default().default_filter_or("info");
    env_logger::Builder::from_env(filter).init();
}
