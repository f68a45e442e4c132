//! The BPF maps: what they hold, and the safe way from that to what they should hold.

use crate::{
    daemon::error::Error,
    datapath::{
        plan::Plan,
        store::{MapStore, StoreError},
        tables::MapTables,
        teardown,
    },
};

/// The maps that the daemon writes.
#[derive(Debug)]
pub(in crate::daemon) struct Maps<S> {
    store: S,
    /// `None` before the maps have been read, and after a write that failed.
    contents: Option<MapTables>,
}

impl<S: MapStore> Maps<S> {
    /// The maps in this store, not read yet.
    pub fn new(store: S) -> Self {
        Self { store, contents: None }
    }

    /// What the maps hold, while that is known.
    pub fn contents(&self) -> Option<&MapTables> {
        self.contents.as_ref()
    }

    /// Forgets what the maps hold, so that the next convergence reads them again.
    pub fn forget(&mut self) {
        self.contents = None;
    }

    /// What the maps hold, read from the store unless it is known.
    pub fn read(&mut self) -> Result<&MapTables, StoreError> {
        let contents = self.take()?;
        Ok(self.contents.insert(contents))
    }

    /// Makes the maps hold `wanted`, and returns how many entries that changed.
    ///
    /// If live flows rely on an entry that is removed or redefined, the entry is first marked as
    /// gone, then `end_flows` must end those flows, and only then is the entry removed.
    pub fn replace(
        &mut self,
        wanted: MapTables,
        end_flows: impl FnOnce() -> Result<(), Error>,
    ) -> Result<usize, Error> {
        // Taken, not borrowed: after a failure the contents are unknown.
        let mut before = self.take()?;
        let mut changed = 0;
        if let Some(marked) = teardown::between(&before, &wanted) {
            changed += self.write(&before, &marked)?;
            end_flows()?;
            before = marked;
        }
        changed += self.write(&before, &wanted)?;
        self.contents = Some(wanted);
        Ok(changed)
    }

    fn take(&mut self) -> Result<MapTables, StoreError> {
        self.contents.take().map_or_else(|| self.store.load(), Ok)
    }

    fn write(&mut self, before: &MapTables, after: &MapTables) -> Result<usize, StoreError> {
        let plan = Plan::between(before, after);
        plan.apply(&mut self.store)?;
        Ok(plan.len())
    }
}

#[cfg(test)]
mod tests {
    use privatelink_common::{Target, TargetState};

    use super::*;
    use crate::datapath::memory::MemoryMaps;

    fn one_target() -> MapTables {
        let present = Target { state: TargetState::Present as u32, ..Target::default() };
        MapTables { targets: [(4, present)].into(), ..MapTables::default() }
    }

    #[test]
    fn flows_end_only_where_an_entry_is_taken_away() {
        let mut maps = Maps::new(MemoryMaps::default());
        let changed = maps.replace(one_target(), || panic!("nothing is taken away")).unwrap();
        assert_eq!((changed, maps.contents()), (1, Some(&one_target())));
        let mut ended = 0;
        let end = || {
            ended += 1;
            Ok(())
        };
        // Marked as gone, and then removed.
        assert_eq!(maps.replace(MapTables::default(), end).unwrap(), 2);
        assert_eq!((ended, maps.contents()), (1, Some(&MapTables::default())));
    }

    #[test]
    fn an_entry_stays_until_its_flows_have_ended() {
        let mut maps = Maps::new(MemoryMaps::holding(one_target()));
        let failed = maps.replace(MapTables::default(), || Err(Error::EventsEnded));
        assert!(matches!(failed, Err(Error::EventsEnded)), "{failed:?}");
        assert_eq!(maps.contents(), None);
        let gone = TargetState::Gone as u32;
        assert_eq!(maps.read().unwrap().targets[&4].state, gone);
    }

    #[test]
    fn a_failed_write_is_made_up_for_by_the_next() {
        let mut store = MemoryMaps::default();
        store.fail_after(0);
        let mut maps = Maps::new(store);
        maps.replace(one_target(), || Ok(())).unwrap_err();
        assert_eq!(maps.contents(), None);
        maps.store.recover();
        assert_eq!(maps.replace(one_target(), || Ok(())).unwrap(), 1);
        assert_eq!(maps.store.tables(), &one_target());
    }
}
