//! Which targets get the new flows of which listener, and where in the backend table that is
//! written.
//!
//! Each listener refers to two ranges of the backend table, one for clients of each family. A
//! packet may be reading a range while it is replaced, so a range is never changed: other content
//! gets another range, and the old one is free once no listener refers to it. The position of a
//! range is kept in memory only: after a start it is found again in the maps.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use privatelink_common::{Pool, maps};

mod groups;

use super::maglev::{self, Member, PLACES};
use crate::{
    datapath::tables::MapTables,
    model::{Listener, Model, Service},
    state::{
        ids::{Family, Ids},
        targets::{Behind, Health, Inputs, NoRoom, addresses, behind, key},
    },
};

/// The pools of every listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools {
    services: BTreeMap<u32, ServicePools>,
    /// Where the search for room begins: after the latest table, so that freed ranges rest for as
    /// long as possible.
    cursor: u32,
}

/// The pools of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ServicePools {
    tables: BTreeMap<Share, Table>,
    listeners: Vec<[Pool; 2]>,
}

/// What a table is computed from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    members: Vec<Member>,
    length: u32,
}

/// A table and its position in the backend table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    first: u32,
    targets: Vec<u32>,
}

impl Table {
    fn pool(&self) -> Pool {
        Pool { first: self.first, count: len(&self.targets) }
    }
}

impl Pools {
    /// The pools of a service's listeners, in their order, for clients of each family.
    pub fn of(&self, service: u32) -> &[[Pool; 2]] {
        self.services.get(&service).map_or(&[], |one| &one.listeners)
    }

    /// The entries of the backend table for a service.
    pub fn entries(&self, service: u32) -> impl Iterator<Item = (u32, u32)> {
        let tables = self.services.get(&service).into_iter().flat_map(|one| one.tables.values());
        tables.flat_map(|table| (table.first..).zip(table.targets.iter().copied()))
    }

    /// Whether some listener of a service sends new flows to a target.
    pub fn uses(&self, service: u32, target: u32) -> bool {
        let shares = self.services.get(&service).into_iter().flat_map(|one| one.tables.keys());
        shares.flat_map(|share| &share.members).any(|member| member.index == target)
    }

    /// Updates every pool to the configuration and what is known of targets. `actual` is what the
    /// maps hold: no range is reused that a listener there refers to, and a table that is there
    /// already stays where it is.
    ///
    /// Returns the services whose tables find no room; they have no pools then.
    pub fn arrange(
        &mut self,
        model: &Model,
        ids: &Ids,
        inputs: &Inputs,
        actual: &MapTables,
    ) -> Vec<NoRoom> {
        let places = places(model, inputs);
        let services = model.services().values();
        let wanted: Vec<(&Service, u32, Vec<[Share; 2]>)> = services
            .filter_map(|service| {
                let shares = |one| shares(service, one, ids, inputs, places);
                let listeners = service.listeners.iter().map(shares).collect();
                Some((service, ids.service(service)?, listeners))
            })
            .collect();
        let mut occupancy = Occupancy::of(self, actual);
        let mut old = std::mem::take(&mut self.services);
        let mut full = Vec::new();
        for (service, index, listeners) in wanted {
            let mut known = old.remove(&index).unwrap_or_default().tables;
            let mut arranged = ServicePools::default();
            for share in listeners.iter().flatten().filter(|share| !share.members.is_empty()) {
                if arranged.tables.contains_key(share) {
                    continue;
                }
                let table =
                    known.remove(share).or_else(|| occupancy.place(share, &mut self.cursor));
                match table {
                    Some(table) => drop(arranged.tables.insert(share.clone(), table)),
                    None => full.push(NoRoom { service: service.name.clone() }),
                }
            }
            let pool =
                |share: &Share| arranged.tables.get(share).map_or(Pool::default(), Table::pool);
            arranged.listeners = listeners.iter().map(|[v4, v6]| [pool(v4), pool(v6)]).collect();
            self.services.insert(index, arranged);
        }
        full.dedup();
        full
    }
}

/// Which parts of the backend table are in use.
struct Occupancy {
    /// Ends of ranges by their beginnings.
    taken: BTreeMap<u32, u32>,
    /// After a start, the tables that the maps hold.
    found: BTreeMap<Vec<u32>, u32>,
}

impl Occupancy {
    fn of(pools: &Pools, actual: &MapTables) -> Self {
        let tables = pools.services.values().flat_map(|one| one.tables.values());
        let mut ranges: BTreeSet<(u32, u32)> =
            tables.map(|table| (table.first, table.pool().count)).collect();
        let listeners = actual.listeners.values();
        let seen: BTreeSet<(u32, u32)> = listeners
            .flat_map(|listener| [listener.backends_v4, listener.backends_v6])
            .filter(|pool| pool.count != 0)
            .map(|pool| (pool.first, pool.count))
            .collect();
        let mut found = BTreeMap::new();
        if pools.services.is_empty() {
            for (first, count) in &seen {
                let places = *first..first.saturating_add(*count);
                let held = actual.backends.range(places).map(|(_, target)| *target);
                found.insert(held.collect(), *first);
            }
        }
        ranges.extend(seen);
        let mut taken: BTreeMap<u32, u32> = BTreeMap::new();
        for (first, count) in ranges {
            let end = first.saturating_add(count);
            match taken.last_entry() {
                // Ranges overlap only if another program has written the maps.
                Some(mut last) if *last.get() > first => {
                    let furthest = end.max(*last.get());
                    last.insert(furthest);
                }
                Some(_) | None => drop(taken.insert(first, end)),
            }
        }
        Self { taken, found }
    }

    /// Places a table where the maps hold it already, or where there is room. Where there is none, a
    /// shorter table is tried.
    fn place(&mut self, share: &Share, cursor: &mut u32) -> Option<Table> {
        let mut length = share.length;
        loop {
            let targets = maglev::table(&share.members, length);
            let count = len(&targets);
            if let Some(first) = self.found.get(&targets).copied() {
                return Some(Table { first, targets });
            }
            if let Some(first) = self.room(count, cursor) {
                self.taken.insert(first, first + count);
                return Some(Table { first, targets });
            }
            length = maglev::shorter(length)?;
        }
    }

    /// Finds room at the cursor or, once around, before it.
    fn room(&self, count: u32, cursor: &mut u32) -> Option<u32> {
        for start in [*cursor, 0] {
            let mut first = start;
            let before = self.taken.range(..start).next_back();
            first = before.map_or(first, |(_, end)| first.max(*end));
            for (next, end) in self.taken.range(start..) {
                if first + count <= *next {
                    break;
                }
                first = first.max(*end);
            }
            if first + count <= maps::MAX_BACKENDS {
                *cursor = first + count;
                return Some(first);
            }
        }
        None
    }
}

/// What the tables of a listener are made of, for clients of each family: targets of their own,
/// or of the other where there are none.
fn shares(
    service: &Service,
    listener: &Listener,
    ids: &Ids,
    inputs: &Inputs,
    places: u32,
) -> [Share; 2] {
    let all = behind(service, listener, inputs);
    let takes = takers(service, listener, inputs);
    let [v4, v6] = Family::BOTH.map(|family| {
        let of_family = takes.iter().filter(|(address, _)| family.holds(**address));
        let of_family = of_family.map(|(address, one)| (*address, *one));
        let members: Vec<Member> = groups::weights(of_family, &listener.groups)
            .into_iter()
            .filter_map(|(address, weight)| {
                let index = ids.target(service, address)?;
                Some(Member { address, index, weight })
            })
            .collect();
        // Computed from all targets, so that the entries of the others stay when one becomes
        // unhealthy.
        let weights = all.iter().filter(|(address, _)| family.holds(**address));
        let weights = weights.map(|(address, one)| (*address, *one));
        let weights = groups::weights(weights, &listener.groups);
        let length = maglev::length(weights.values().copied(), places);
        Share { length: if members.len() == 1 { 1 } else { length }, members }
    });
    match (v4.members.is_empty(), v6.members.is_empty()) {
        (true, false) => [v6.clone(), v6],
        (false, true) => [v4.clone(), v4],
        _ => [v4, v6],
    }
}

/// The targets that get new flows of a listener.
fn takers<'a>(
    service: &'a Service,
    listener: &Listener,
    inputs: &'a Inputs,
) -> BTreeMap<IpAddr, Behind<'a>> {
    let mut all = behind(service, listener, inputs);
    // A group without a share gets none.
    let share = |one: &Behind<'_>| one.group.and_then(|group| listener.groups.get(group));
    all.retain(|_, one| one.weight.get() != 0 && share(one).is_none_or(|share| share.get() != 0));
    let Some(check) = &service.health_check else { return all };
    let is_healthy = |address: &IpAddr, one: &Behind<'_>| {
        let condition = inputs.health.get(&key(service, check, one.ports, *address));
        condition.is_some_and(|condition| condition.health == Health::Healthy)
    };
    if !service.fail_open || all.iter().any(|(address, one)| is_healthy(address, one)) {
        all.retain(|address, one| is_healthy(address, one));
    }
    all
}

/// How many entries the target with the least weight gets: fewer where there are so many services
/// with several targets that all tables would fill more than half of the backend table. The other
/// half is for tables that replace others.
fn places(model: &Model, inputs: &Inputs) -> u32 {
    let mut weights: Vec<Vec<u32>> = Vec::new();
    for service in model.services().values() {
        let all = addresses(service, inputs);
        for family in Family::BOTH {
            let of_family = all.iter().filter(|(address, _)| family.holds(**address));
            weights.push(of_family.map(|(_, weight)| weight.get()).collect());
        }
    }
    let fits = |places: u32| {
        let lengths = weights.iter().map(|one| maglev::length(one.iter().copied(), places));
        lengths.map(u64::from).sum::<u64>() <= u64::from(maps::MAX_BACKENDS / 2)
    };
    let mut places = PLACES;
    while places > 1 && !fits(places) {
        places /= 2;
    }
    places
}

/// Lengths here are bounded by the maps, far below the range of the type.
fn len(targets: &[u32]) -> u32 {
    u32::try_from(targets.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
