//! Ctrl-C ends the demonstration between two steps, so that all is removed in order.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

/// Whether a signal asked us to stop.
#[derive(Debug, Default)]
pub struct Interrupts(Arc<(Mutex<bool>, Condvar)>);

impl Interrupts {
    /// Starts to watch for SIGINT and SIGTERM; call it before any other thread is started.
    ///
    /// # Errors
    /// When the signals cannot be blocked.
    pub fn watch() -> Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block().context("cannot take over Ctrl-C")?;
        let interrupts = Self::default();
        let shared = Arc::clone(&interrupts.0);
        thread::spawn(move || {
            while signals.wait().is_ok() {
                *shared.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                shared.1.notify_all();
            }
        });
        Ok(interrupts)
    }

    /// Says whether a signal came.
    pub fn came(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a signal.
    pub fn wait(&self) {
        let mut came = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*came {
            came = self.0.1.wait(came).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
