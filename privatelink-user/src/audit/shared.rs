//! The log, shared by the daemon's loop and the server on the socket.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{log::AuditLog, reader::AuditReader};
use crate::interface::types::AuditEntry;

/// The audit log. Clones are the same log.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Mutex<AuditLog>>);

impl Audit {
    /// The log in a state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self(Arc::new(Mutex::new(AuditLog::new(state_dir))))
    }

    /// Writes an attempt, and returns its number once it is on the disk.
    ///
    /// # Errors
    /// When the disk refuses: nothing may be changed then.
    pub fn attempt(&self, entry: AuditEntry) -> io::Result<u64> {
        self.log().attempt(entry)
    }

    /// Writes what became of an attempt.
    pub fn result(&self, attempt: u64, entry: AuditEntry) {
        self.log().result(attempt, entry);
    }

    /// Writes that a caller was refused, unless there are too many of that caller.
    pub fn refused(&self, entry: AuditEntry) {
        self.log().refused(entry, Instant::now());
    }

    /// Reads the log.
    pub fn reader(&self) -> AuditReader {
        self.log().reader()
    }

    fn log(&self) -> MutexGuard<'_, AuditLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
