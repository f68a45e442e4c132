//! The state without a disk.

use super::{change::Change, error::Error, kept::State, store::Store};

/// A [`Store`] in memory, which loses everything with its process; for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: State,
}

impl Store for MemoryStore {
    fn state(&self) -> &State {
        &self.state
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        changes.into_iter().for_each(|change| self.state.apply(change));
        Ok(())
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn assume(&mut self, state: State) {
        self.state = state;
    }
}
