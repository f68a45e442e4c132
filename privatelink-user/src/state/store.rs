//! What keeps the state.

use super::{change::Change, error::Error, group::GroupStore, kept::State};

/// Where the state is kept.
pub trait Store {
    /// The state as it is kept now.
    fn state(&self) -> &State;

    /// Keeps these changes, all of them or none. Once this returns they survive a crash of the
    /// daemon or of the host.
    ///
    /// # Errors
    /// When the changes cannot be kept; the state is as it was before.
    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Error>;

    /// Whether the last write failed. A commit, even of no changes, tries to make up for it.
    fn is_behind(&self) -> bool;

    /// Takes a state for what is kept, though nothing holds it yet. The next commit keeps all of
    /// it.
    fn assume(&mut self, state: State);

    /// The store that gateways share, if this is one.
    fn group(&self) -> Option<&GroupStore> {
        None
    }

    /// As [`Store::group`], to take in what others change.
    fn group_mut(&mut self) -> Option<&mut GroupStore> {
        None
    }
}
