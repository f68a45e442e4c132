//! One task for each thing that is watched.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinHandle;

/// The tasks that watch things of one kind; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Tasks<T>(BTreeMap<T, JoinHandle<()>>);

impl<T: Clone + Ord> Tasks<T> {
    /// Ends the tasks of what is no longer wanted, and starts one for each new thing.
    pub fn follow(&mut self, wanted: &BTreeSet<T>, start: impl Fn(T) -> JoinHandle<()>) {
        self.0.retain(|watched, task| {
            let keep = wanted.contains(watched);
            if !keep {
                task.abort();
            }
            keep
        });
        for watched in wanted {
            if !self.0.contains_key(watched) {
                self.0.insert(watched.clone(), start(watched.clone()));
            }
        }
    }
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Drop for Tasks<T> {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}
