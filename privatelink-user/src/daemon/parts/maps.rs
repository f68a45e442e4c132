//! The BPF maps: what they hold, and the safe way from that to what they should hold.

use std::collections::BTreeMap;

use super::passes::Passes;
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
    passes: Passes,
}

impl<S: MapStore> Maps<S> {
    /// The maps in this store, not read yet.
    pub fn new(store: S) -> Self {
        Self { store, contents: None, passes: Passes::default() }
    }

    /// What the maps hold, while that is known.
    pub fn contents(&self) -> Option<&MapTables> {
        self.contents.as_ref()
    }

    /// The passes over the flow table that removals wait for.
    pub fn passes(&mut self) -> &mut Passes {
        &mut self.passes
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
    /// gone; then a pass over the flow table must end those flows, which `sweep` gives a moment;
    /// and only then the entry is removed. If the pass takes longer, that waits for a later call.
    pub fn replace(
        &mut self,
        wanted: MapTables,
        sweep: impl FnOnce(&mut Passes) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        // Taken, not borrowed: after a failure the contents are unknown.
        let mut before = self.take()?;
        let mut changed = 0;
        if let Some(marked) = teardown::between(&before, &wanted, self.passes.ended()) {
            if marked != before {
                self.passes.ask_rules();
            }
            changed += self.write(&before, &marked)?;
            if self.passes.rules_due() || self.passes.next().is_none() {
                self.passes.request(&marked);
            }
            before = marked;
            sweep(&mut self.passes)?;
            if let Some(marked) = teardown::between(&before, &wanted, self.passes.ended()) {
                changed += self.write(&before, &marked)?;
                self.contents = Some(marked);
                return Ok(changed);
            }
        }
        changed += self.write(&before, &wanted)?;
        if self.passes.rules_due() {
            self.passes.request(&wanted);
        }
        self.contents = Some(wanted);
        Ok(changed)
    }

    /// How many entries it changes to add these, which are endpoints' and the shares of all; `None`
    /// if the maps hold something else in the place of one, or if that is not known.
    pub fn count_additions(&self, added: &MapTables) -> Option<usize> {
        let contents = self.contents.as_ref()?;
        (!is_occupied(contents, added)).then(|| Plan::adding(contents, added).len())
    }

    /// Adds entries, and returns how many that changed. No flow relies on one that changes.
    pub fn add(&mut self, added: MapTables) -> Result<usize, StoreError> {
        let mut contents = self.take()?;
        let plan = Plan::adding(&contents, &added);
        plan.apply(&mut self.store).inspect_err(|_| self.passes.forget())?;
        contents.extend(added);
        self.passes.wrote(&contents);
        self.contents = Some(contents);
        Ok(plan.len())
    }

    fn take(&mut self) -> Result<MapTables, StoreError> {
        self.contents.take().map_or_else(|| self.store.load(), Ok)
    }

    fn write(&mut self, before: &MapTables, after: &MapTables) -> Result<usize, StoreError> {
        let plan = Plan::between(before, after);
        plan.apply(&mut self.store).inspect_err(|_| self.passes.forget())?;
        self.passes.wrote(after);
        Ok(plan.len())
    }
}

/// Whether one of the added entries would take the place of another one, shares apart.
fn is_occupied(contents: &MapTables, added: &MapTables) -> bool {
    fn clash<K: Ord, V: PartialEq>(there: &BTreeMap<K, V>, added: &BTreeMap<K, V>) -> bool {
        added.iter().any(|(key, value)| there.get(key).is_some_and(|other| other != value))
    }
    clash(&contents.endpoints, &added.endpoints)
        || clash(&contents.locals, &added.locals)
        || clash(&contents.limits, &added.limits)
        || clash(&contents.rules, &added.rules)
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

    /// Sweeps all that is asked for.
    fn all(passes: &mut Passes) -> Result<(), Error> {
        while passes.next().is_some() {
            passes.swept_to(1, 1);
        }
        Ok(())
    }

    #[test]
    fn a_long_pass_holds_up_removals_and_nothing_else() {
        let mut maps = Maps::new(MemoryMaps::holding(one_target()));
        let other = |index| MapTables {
            targets: [(index, one_target().targets[&4])].into(),
            ..MapTables::default()
        };
        let part = |passes: &mut Passes| {
            passes.swept_to(1, 2);
            Ok(())
        };
        maps.replace(other(5), part).unwrap();
        let gone = TargetState::Gone as u32;
        let states = |maps: &Maps<MemoryMaps>| -> Vec<(u32, u32)> {
            maps.store.tables().targets.iter().map(|(index, it)| (*index, it.state)).collect()
        };
        let present = TargetState::Present as u32;
        assert_eq!(states(&maps), [(4, gone), (5, present)]);
        // Another goes meanwhile: the first is removed once the pass that it waits for is over.
        maps.replace(other(6), |_| Ok(())).unwrap();
        assert_eq!(states(&maps), [(4, gone), (5, gone), (6, present)]);
        maps.passes().swept_to(2, 2);
        maps.replace(other(6), |_| Ok(())).unwrap();
        assert_eq!(states(&maps), [(5, gone), (6, present)]);
        maps.passes().swept_to(2, 2);
        maps.replace(other(6), |_| Ok(())).unwrap();
        assert_eq!(states(&maps), [(6, present)]);
    }

    #[test]
    fn flows_end_only_where_an_entry_is_taken_away() {
        let mut maps = Maps::new(MemoryMaps::default());
        let changed =
            maps.replace(one_target(), |_: &mut Passes| panic!("nothing is taken away")).unwrap();
        assert_eq!((changed, maps.contents()), (1, Some(&one_target())));
        let mut ended = 0;
        let end = |passes: &mut Passes| {
            ended += 1;
            all(passes)
        };
        // Marked as gone, and then removed.
        assert_eq!(maps.replace(MapTables::default(), end).unwrap(), 2);
        assert_eq!((ended, maps.contents()), (1, Some(&MapTables::default())));
    }

    #[test]
    fn an_entry_stays_until_its_flows_have_ended() {
        let mut maps = Maps::new(MemoryMaps::holding(one_target()));
        let failed = maps.replace(MapTables::default(), |_: &mut Passes| Err(Error::EventsEnded));
        assert!(matches!(failed, Err(Error::EventsEnded)), "{failed:?}");
        assert_eq!(maps.contents(), None);
        let gone = TargetState::Gone as u32;
        assert_eq!(maps.read().unwrap().targets[&4].state, gone);
    }

    #[test]
    fn rules_that_changed_in_a_failed_write_are_asked_by_a_later_pass() {
        let endpoint = |rules| MapTables {
            endpoints: [(3, privatelink_common::Endpoint { rules, ..Default::default() })].into(),
            ..MapTables::default()
        };
        let mut maps = Maps::new(MemoryMaps::holding(endpoint([1, 0])));
        all(maps.passes()).unwrap();
        maps.replace(endpoint([1, 0]), all).unwrap();
        all(maps.passes()).unwrap();
        assert!(maps.passes().next().is_none() && !maps.passes().rules_due());
        maps.store.fail_after(0);
        maps.replace(endpoint([2, 0]), all).unwrap_err();
        maps.store.recover();
        assert!(maps.passes().rules_due());
        // The write may have happened before it was reported as failed: nothing is left to write.
        maps.replace(endpoint([1, 0]), all).unwrap();
        assert_eq!(maps.passes().next(), Some(0));
    }

    #[test]
    fn a_failed_write_is_made_up_for_by_the_next() {
        let mut store = MemoryMaps::default();
        store.fail_after(0);
        let mut maps = Maps::new(store);
        maps.replace(one_target(), |_: &mut Passes| Ok(())).unwrap_err();
        assert_eq!(maps.contents(), None);
        maps.store.recover();
        assert_eq!(maps.replace(one_target(), |_: &mut Passes| Ok(())).unwrap(), 1);
        assert_eq!(maps.store.tables(), &one_target());
    }
}
