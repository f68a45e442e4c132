//! The content of the maps while flows are ended that may not continue.
//!
//! A flow names records by index, and its two slots are found through what those records hold. So
//! a record that is to be removed, or replaced by another, stays for a moment, marked as gone: the
//! sweep ends its flows and notifies both ends, and only then the record is written.

use std::collections::BTreeMap;

use privatelink_common::{Admission, Endpoint, Source, Target, TargetState};

use crate::datapath::tables::MapTables;

/// Records that are marked as gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Endpoints that let nothing pass.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// Targets that are gone.
    pub targets: BTreeMap<u32, Target>,
    /// Source addresses that are gone.
    pub sources: BTreeMap<u32, Source>,
}

impl Marks {
    /// Forgets the records that the maps do not hold.
    pub fn keep_of(&mut self, contents: &MapTables) {
        self.endpoints.retain(|index, record| contents.endpoints.get(index) == Some(record));
        self.targets.retain(|index, record| contents.targets.get(index) == Some(record));
        self.sources.retain(|index, record| contents.sources.get(index) == Some(record));
    }
}

/// What the maps have to hold between `actual` and `wanted`; `None` if no flow has to end. Records
/// of `ended` have no flows any more.
pub fn between(actual: &MapTables, wanted: &MapTables, ended: &Marks) -> Option<MapTables> {
    let mut teardown = wanted.clone();
    let mut ends = false;
    for (index, old) in &actual.endpoints {
        match wanted.endpoints.get(index) {
            Some(new) if is_same_endpoint(old, new) => ends |= is_tightened(old, new),
            _ if ended.endpoints.get(index) == Some(old) => {}
            _ => {
                let rejected = Admission::Rejected as u32;
                let gone = Endpoint { admission: rejected, rules: [0, 0], limits: 0, ..*old };
                teardown.endpoints.insert(*index, gone);
                if let Some(service) = actual.services.get(&old.service) {
                    teardown.services.entry(old.service).or_insert(*service);
                }
                ends = true;
            }
        }
    }
    for (index, old) in &actual.targets {
        let present = TargetState::Present as u32;
        let stays = wanted.targets.get(index).is_some_and(|new| {
            (new.address, new.network) == (old.address, old.network)
                && (new.state == old.state || new.state == present)
        });
        if !stays && ended.targets.get(index) != Some(old) {
            teardown.targets.insert(*index, Target { state: TargetState::Gone as u32, ..*old });
            ends = true;
        }
    }
    for (index, old) in &actual.sources {
        let stays = wanted.sources.get(index).is_some_and(|new| new.address == old.address);
        if !stays && ended.sources.get(index) != Some(old) {
            teardown.sources.insert(*index, Source { gone: 1, ..*old });
            ends = true;
        }
    }
    ends.then_some(teardown)
}

/// Whether the flows of an endpoint still find it.
fn is_same_endpoint(old: &Endpoint, new: &Endpoint) -> bool {
    let whose =
        |endpoint: &Endpoint| (endpoint.v4, endpoint.v6, endpoint.network, endpoint.service);
    whose(old) == whose(new)
}

/// Whether flows that were allowed may no longer be.
fn is_tightened(old: &Endpoint, new: &Endpoint) -> bool {
    let admits = |endpoint: &Endpoint| Admission::carries(endpoint.admission);
    admits(old) && !admits(new) || old.rules != new.rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use privatelink_common::Service;

    fn between(actual: &MapTables, wanted: &MapTables) -> Option<MapTables> {
        super::between(actual, wanted, &Marks::default())
    }

    fn endpoint(service: u32) -> Endpoint {
        let admission = Admission::Available as u32;
        Endpoint { v4: 7, service, admission, ..Endpoint::default() }
    }

    fn tables() -> MapTables {
        let mut tables = MapTables::default();
        tables.services.insert(1, Service::default());
        tables.endpoints.insert(3, endpoint(1));
        tables.targets.insert(4, Target { state: 1, network: 2, ..Target::default() });
        tables.sources.insert(5, Source::default());
        tables
    }

    #[test]
    fn nothing_ends_where_nothing_is_taken_away() {
        assert_eq!(between(&tables(), &tables()), None);
        assert_eq!(between(&MapTables::default(), &tables()), None);
        let mut more = tables();
        more.endpoints.insert(9, endpoint(1));
        more.targets.entry(4).or_default().hop = [1; 6];
        assert_eq!(between(&tables(), &more), None);
    }

    #[test]
    fn what_goes_stays_for_a_moment_marked_as_gone() {
        let teardown = between(&tables(), &MapTables::default()).unwrap();
        assert_eq!(teardown.endpoints[&3].admission, Admission::Rejected as u32);
        assert_eq!(teardown.endpoints[&3].v4, 7);
        assert_eq!(teardown.targets[&4].state, TargetState::Gone as u32);
        assert_eq!(teardown.sources[&5].gone, 1);
        assert!(teardown.services.contains_key(&1));
        // Nothing is left that would have to end.
        assert!(teardown.locals.is_empty());
    }

    #[test]
    fn what_has_no_flows_any_more_goes_at_once() {
        let marked = between(&tables(), &MapTables::default()).unwrap();
        let ended = Marks {
            endpoints: marked.endpoints.clone(),
            targets: marked.targets.clone(),
            sources: BTreeMap::new(),
        };
        let left = super::between(&marked, &MapTables::default(), &ended).unwrap();
        assert!(left.endpoints.is_empty() && left.targets.is_empty() && left.sources.len() == 1);
        // A record that is no longer as it was may have flows.
        let again = super::between(&tables(), &MapTables::default(), &ended).unwrap();
        assert_eq!(again, marked);
    }

    #[test]
    fn what_becomes_something_else_goes_first() {
        let mut other = tables();
        other.endpoints.entry(3).or_default().v4 = 8;
        other.targets.entry(4).or_default().network = 9;
        let teardown = between(&tables(), &other).unwrap();
        assert_eq!((teardown.endpoints[&3].v4, teardown.endpoints[&3].admission), (7, 3));
        assert_eq!((teardown.targets[&4].network, teardown.targets[&4].state), (2, 2));
    }

    #[test]
    fn a_target_that_falls_ill_loses_its_flows_and_one_that_recovers_does_not() {
        let mut ill = tables();
        ill.targets.entry(4).or_default().state = TargetState::Gone as u32;
        assert_eq!(between(&tables(), &ill), Some(ill.clone()));
        assert_eq!(between(&ill, &ill), None);
        assert_eq!(between(&ill, &tables()), None);
        assert_eq!(between(&ill, &MapTables::default()).unwrap().targets, ill.targets);
    }

    #[test]
    fn a_rejected_or_tightened_endpoint_is_swept_at_once() {
        let mut rejected = tables();
        rejected.endpoints.entry(3).or_default().admission = Admission::Rejected as u32;
        assert_eq!(between(&tables(), &rejected), Some(rejected.clone()));
        assert_eq!(between(&rejected, &tables()), None);
        let mut tightened = tables();
        tightened.endpoints.entry(3).or_default().rules = [1, 2];
        assert_eq!(between(&tables(), &tightened), Some(tightened));
    }
}
