//! What keeps the state.

use super::{change::Change, error::Error, kept::State};

/// Where the state is kept.
pub trait Store {
    /// What is kept.
    fn state(&self) -> &State;

    /// Keeps these changes, all of them or none. Once this returns they survive whatever happens
    /// to the daemon or to the host.
    ///
    /// # Errors
    /// When that cannot be had; the state is as it was then.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Error>;
}
