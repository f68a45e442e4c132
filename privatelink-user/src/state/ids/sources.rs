//! The indices of source addresses: each service's are a range without gaps.
//!
//! One address may have several indices, because two services may share some of their addresses
//! and not others. Flows compare the address that an index stands for, so that is harmless.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use privatelink_common::{Pool, maps};
use serde::{Deserialize, Serialize};

use super::exhausted::Exhausted;
use crate::model::Name;

/// The table of source addresses by index, and the ranges in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    entries: Vec<Option<Entry>>,
    pools: BTreeMap<String, Range>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Entry {
    network: String,
    address: IpAddr,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    first: u32,
    count: u32,
}

/// Addresses of one network that need a range of indices.
pub(super) struct SourcePool {
    /// Name of the pool: its service and family.
    pub key: String,
    /// Name of the network that they are in.
    pub network: Name,
    /// The addresses, in the order of the range.
    pub addresses: Vec<IpAddr>,
}

/// Every index of each address, by network and address.
type IndicesByAddress = BTreeMap<(String, IpAddr), Vec<u32>>;

impl Sources {
    /// The range of these addresses.
    pub(super) fn pool(&self, key: &str) -> Pool {
        let range = self.pools.get(key).copied().unwrap_or_default();
        Pool { first: range.first, count: range.count }
    }

    /// Every index that stands for an address.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &str, IpAddr)> {
        (0..).zip(&self.entries).filter_map(|(index, entry)| {
            entry.as_ref().map(|entry| (index, entry.network.as_str(), entry.address))
        })
    }

    /// Makes a range for each pool that has none.
    ///
    /// Other indices of an address that is still in some pool stay: flows may name them.
    pub(super) fn assign(&mut self, mut wanted: Vec<SourcePool>) -> Result<(), Exhausted> {
        wanted.retain(|pool| !pool.addresses.is_empty());
        // The longest first: a shorter one may be part of it.
        wanted.sort_by_key(|pool| std::cmp::Reverse(pool.addresses.len()));
        let mut indices = self.indices();
        let mut pools = BTreeMap::new();
        let mut missing = Vec::new();
        for pool in &wanted {
            match self.find(&indices, pool) {
                Some(first) => drop(pools.insert(pool.key.clone(), range(first, pool))),
                None => missing.push(pool),
            }
        }
        for pool in missing {
            // A range that this loop has just made may contain it.
            let first = match self.find(&indices, pool).or_else(|| self.append(pool)) {
                Some(first) => first,
                None => self.squeeze_in(&pools, pool)?,
            };
            for (index, address) in (first..).zip(&pool.addresses) {
                indices.entry((pool.network.to_string(), *address)).or_default().push(index);
            }
            pools.insert(pool.key.clone(), range(first, pool));
        }
        self.pools = pools;
        self.free_all_but(&wanted);
        Ok(())
    }

    fn append(&mut self, pool: &SourcePool) -> Option<u32> {
        let first = len(&self.entries);
        (first + len(&pool.addresses) <= maps::MAX_SOURCES).then(|| {
            let entries = pool.addresses.iter().map(|address| Some(entry(&pool.network, *address)));
            self.entries.extend(entries);
            first
        })
    }

    /// Uses the first gap that is long enough, when there is no room left at the end. It overwrites
    /// indices that no pool needs, though a flow may still name them.
    fn squeeze_in(
        &mut self,
        pools: &BTreeMap<String, Range>,
        pool: &SourcePool,
    ) -> Result<u32, Exhausted> {
        let needed: BTreeSet<u32> =
            pools.values().flat_map(|range| range.first..range.first + range.count).collect();
        let mut run = 0;
        for index in 0..len(&self.entries) {
            run = if needed.contains(&index) { 0 } else { run + 1 };
            if run == len(&pool.addresses) {
                let first = index + 1 - run;
                let slots = self.entries.iter_mut().skip(first as usize);
                for (slot, address) in slots.zip(&pool.addresses) {
                    *slot = Some(entry(&pool.network, *address));
                }
                return Ok(first);
            }
        }
        Err(Exhausted { what: "source addresses", limit: maps::MAX_SOURCES })
    }

    fn free_all_but(&mut self, wanted: &[SourcePool]) {
        let wanted: BTreeSet<(&str, IpAddr)> = wanted
            .iter()
            .flat_map(|pool| pool.addresses.iter().map(|a| (pool.network.as_str(), *a)))
            .collect();
        for slot in &mut self.entries {
            slot.take_if(|entry| !wanted.contains(&(entry.network.as_str(), entry.address)));
        }
    }

    fn indices(&self) -> IndicesByAddress {
        let mut indices = IndicesByAddress::new();
        for (index, network, address) in self.entries() {
            indices.entry((network.to_owned(), address)).or_default().push(index);
        }
        indices
    }

    fn find(&self, indices: &IndicesByAddress, pool: &SourcePool) -> Option<u32> {
        let candidates = indices.get(&(pool.network.to_string(), *pool.addresses.first()?))?;
        candidates.iter().copied().find(|index| self.holds(*index, pool))
    }

    fn holds(&self, first: u32, pool: &SourcePool) -> bool {
        let first = first as usize;
        self.entries.get(first..first + pool.addresses.len()).is_some_and(|slots| {
            slots.iter().zip(&pool.addresses).all(|(slot, address)| {
                slot.as_ref().is_some_and(|entry| {
                    entry.address == *address && entry.network == pool.network.as_str()
                })
            })
        })
    }
}

fn range(first: u32, pool: &SourcePool) -> Range {
    Range { first, count: len(&pool.addresses) }
}

fn entry(network: &Name, address: IpAddr) -> Entry {
    Entry { network: network.to_string(), address }
}

/// Lengths here are bounded by the maps, far below the range of the type.
fn len<T>(slice: &[T]) -> u32 {
    u32::try_from(slice.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(network: &str, range: std::ops::Range<u16>) -> SourcePool {
        let address = |n: u16| IpAddr::from([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
        let key = format!("{network} {range:?}");
        SourcePool {
            key,
            network: network.parse().unwrap(),
            addresses: range.map(address).collect(),
        }
    }

    fn assign(sources: &mut Sources, pools: Vec<SourcePool>) -> Result<Vec<(u32, u32)>, Exhausted> {
        let keys: Vec<String> = pools.iter().map(|pool| pool.key.clone()).collect();
        sources.assign(pools)?;
        let pools = keys.iter().map(|key| sources.pool(key));
        Ok(pools.map(|pool| (pool.first, pool.count)).collect())
    }

    #[test]
    fn equal_and_contained_pools_share_and_others_do_not() {
        let mut sources = Sources::default();
        let pools = vec![pool("a", 2..4), pool("a", 0..8), pool("a", 0..8), pool("b", 0..8)];
        assert_eq!(assign(&mut sources, pools).unwrap(), [(2, 2), (0, 8), (0, 8), (8, 8)]);
        let more = vec![pool("a", 0..8), pool("a", 6..10)];
        assert_eq!(assign(&mut sources, more).unwrap(), [(0, 8), (16, 4)]);
    }

    #[test]
    fn a_pool_that_grows_keeps_the_old_indices_for_flows() {
        let mut sources = Sources::default();
        assign(&mut sources, vec![pool("a", 0..4)]).unwrap();
        assert_eq!(assign(&mut sources, vec![pool("a", 1..5)]).unwrap(), [(4, 4)]);
        let kept: Vec<u32> = sources.entries().map(|(index, ..)| index).collect();
        assert_eq!(kept, [1, 2, 3, 4, 5, 6, 7], "only address 0 is gone");
    }

    #[test]
    fn a_full_table_gives_up_what_no_pool_needs() {
        let mut sources = Sources::default();
        assign(&mut sources, vec![pool("a", 0..40_000)]).unwrap();
        let moved = assign(&mut sources, vec![pool("a", 1..40_000)]).unwrap();
        assert_eq!(moved, [(1, 39_999)], "contained in the old one");
        let other = assign(&mut sources, vec![pool("b", 0..30_000)]).unwrap();
        assert_eq!(other, [(0, 30_000)]);
        let both = vec![pool("b", 0..30_000), pool("c", 0..60_000)];
        assert!(assign(&mut sources, both).is_err());
    }
}
