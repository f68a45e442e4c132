//! What keeps the state.

use std::collections::BTreeSet;

use super::{beside::Beside, change::Change, error::Error, kept::State};
use crate::model::Name;

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

    /// What has to outlast a configuration because other gateways share the state; `removed` are
    /// the endpoints that go for all. `None` is the configuration in force.
    fn beside(&self, _configuration: Option<&str>, _removed: BTreeSet<Name>) -> Beside {
        Beside::none()
    }

    /// Keeps rejections on this gateway alone, while the store that it shares is not reached.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn commit_here(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        self.commit(changes)
    }
}
