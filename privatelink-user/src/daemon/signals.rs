//! The signals that the daemon acts on.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The streams of signals.
pub(super) struct Signals {
    /// Asks the daemon to end.
    pub terminate: Signal,
    /// Asks the daemon to end, from a terminal.
    pub interrupt: Signal,
    /// Asks for a reload.
    pub hangup: Signal,
}

impl Signals {
    /// Listens for them from now on.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}
