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

use super::Exhausted;
use crate::model::Name;

/// The table of source addresses by index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sources {
    entries: Vec<Option<Entry>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Entry {
    network: String,
    address: IpAddr,
}

impl Sources {
    /// The range that holds exactly these addresses in this order.
    pub fn pool(&self, network: &Name, addresses: &[IpAddr]) -> Pool {
        let first = self.find(network, addresses);
        first.map_or_else(Pool::default, |first| Pool { first, count: len(addresses) })
    }

    /// Every index that stands for an address.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &str, IpAddr)> {
        (0..).zip(&self.entries).filter_map(|(index, entry)| {
            entry.as_ref().map(|entry| (index, entry.network.as_str(), entry.address))
        })
    }

    /// Makes a range for each pool that has none.
    ///
    /// Other indices of an address that is still in some pool stay: flows may name them.
    pub fn assign(&mut self, pools: &[(Name, Vec<IpAddr>)]) -> Result<(), Exhausted> {
        let wanted = pools.iter().flat_map(|(network, addresses)| {
            addresses.iter().map(|address| (network.as_str(), *address))
        });
        let wanted: BTreeSet<(&str, IpAddr)> = wanted.collect();
        let unwanted: Vec<u32> = self
            .entries()
            .filter(|(_, network, address)| !wanted.contains(&(*network, *address)))
            .map(|(index, ..)| index)
            .collect();
        // The longest first: a shorter one may be part of it.
        let mut longest_first: Vec<_> = pools.iter().collect();
        longest_first.sort_by_key(|(_, addresses)| std::cmp::Reverse(addresses.len()));
        let mut starts = self.starts();
        for (network, addresses) in longest_first {
            if self.find_among(&starts, network, addresses).is_some() {
                continue;
            }
            let first = match self.append(network, addresses) {
                Some(first) => first,
                None => self.squeeze_in(pools, network, addresses)?,
            };
            for (index, address) in (first..).zip(addresses) {
                starts.entry((network.to_string(), *address)).or_default().push(index);
            }
        }
        for index in unwanted {
            self.free(index, &wanted);
        }
        Ok(())
    }

    fn append(&mut self, network: &Name, addresses: &[IpAddr]) -> Option<u32> {
        let first = len(&self.entries);
        (first + len(addresses) <= maps::MAX_SOURCES).then(|| {
            self.entries.extend(addresses.iter().map(|address| Some(entry(network, *address))));
            first
        })
    }

    /// Uses the first gap that is long enough, when there is no room at the end any more: at the
    /// cost of indices that no pool needs, though a flow may.
    fn squeeze_in(
        &mut self,
        pools: &[(Name, Vec<IpAddr>)],
        network: &Name,
        addresses: &[IpAddr],
    ) -> Result<u32, Exhausted> {
        let mut needed = BTreeSet::new();
        for (network, addresses) in pools {
            let pool = self.pool(network, addresses);
            needed.extend(pool.first..pool.first + pool.count);
        }
        let mut run = 0;
        for index in 0..len(&self.entries) {
            run = if needed.contains(&index) { 0 } else { run + 1 };
            if run == len(addresses) {
                let first = index + 1 - run;
                let slots = self.entries.iter_mut().skip(first as usize);
                for (slot, address) in slots.zip(addresses) {
                    *slot = Some(entry(network, *address));
                }
                return Ok(first);
            }
        }
        Err(Exhausted { what: "source addresses", limit: maps::MAX_SOURCES })
    }

    /// Clears an index, unless it has come to stand for a wanted address meanwhile.
    fn free(&mut self, index: u32, wanted: &BTreeSet<(&str, IpAddr)>) {
        if let Some(slot) = self.entries.get_mut(index as usize) {
            slot.take_if(|entry| !wanted.contains(&(entry.network.as_str(), entry.address)));
        }
    }

    fn starts(&self) -> BTreeMap<(String, IpAddr), Vec<u32>> {
        let mut starts: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for (index, network, address) in self.entries() {
            starts.entry((network.to_owned(), address)).or_default().push(index);
        }
        starts
    }

    fn find(&self, network: &Name, addresses: &[IpAddr]) -> Option<u32> {
        let first = addresses.first()?;
        let candidates =
            self.entries().filter(|(_, of, address)| *of == network.as_str() && address == first);
        candidates.map(|(index, ..)| index).find(|index| self.holds(*index, network, addresses))
    }

    fn find_among(
        &self,
        starts: &BTreeMap<(String, IpAddr), Vec<u32>>,
        network: &Name,
        addresses: &[IpAddr],
    ) -> Option<u32> {
        let candidates = starts.get(&(network.to_string(), *addresses.first()?))?;
        candidates.iter().copied().find(|index| self.holds(*index, network, addresses))
    }

    fn holds(&self, first: u32, network: &Name, addresses: &[IpAddr]) -> bool {
        let first = first as usize;
        self.entries.get(first..first + addresses.len()).is_some_and(|slots| {
            slots.iter().zip(addresses).all(|(slot, address)| {
                slot.as_ref().is_some_and(|entry| {
                    entry.address == *address && entry.network == network.as_str()
                })
            })
        })
    }
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

    fn pool(network: &str, range: std::ops::Range<u16>) -> (Name, Vec<IpAddr>) {
        let address = |n: u16| IpAddr::from([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]);
        (network.parse().unwrap(), range.map(address).collect())
    }

    fn ranges(sources: &Sources, pools: &[(Name, Vec<IpAddr>)]) -> Vec<(u32, u32)> {
        pools.iter().map(|(n, a)| sources.pool(n, a)).map(|p| (p.first, p.count)).collect()
    }

    #[test]
    fn equal_and_contained_pools_share_and_others_do_not() {
        let mut sources = Sources::default();
        let pools = [pool("a", 0..8), pool("a", 0..8), pool("a", 2..4), pool("b", 0..8)];
        sources.assign(&pools).unwrap();
        assert_eq!(ranges(&sources, &pools), [(0, 8), (0, 8), (2, 2), (8, 8)]);
        let more = [pool("a", 0..8), pool("a", 6..10)];
        sources.assign(&more).unwrap();
        assert_eq!(ranges(&sources, &more), [(0, 8), (16, 4)]);
    }

    #[test]
    fn a_pool_that_grows_keeps_the_old_indices_for_flows() {
        let mut sources = Sources::default();
        sources.assign(&[pool("a", 0..4)]).unwrap();
        let grown = [pool("a", 1..5)];
        sources.assign(&grown).unwrap();
        assert_eq!(ranges(&sources, &grown), [(4, 4)]);
        let kept: Vec<u32> = sources.entries().map(|(index, ..)| index).collect();
        assert_eq!(kept, [1, 2, 3, 4, 5, 6, 7], "only address 0 is gone");
    }

    #[test]
    fn a_full_table_gives_up_what_no_pool_needs() {
        let mut sources = Sources::default();
        sources.assign(&[pool("a", 0..40_000)]).unwrap();
        let moved = [pool("a", 1..40_000)];
        sources.assign(&moved).unwrap();
        assert_eq!(ranges(&sources, &moved), [(1, 39_999)], "contained in the old one");
        let other = [pool("b", 0..30_000)];
        sources.assign(&other).unwrap();
        assert_eq!(ranges(&sources, &other), [(0, 30_000)]);
        let both = [pool("b", 0..30_000), pool("c", 0..60_000)];
        assert!(sources.assign(&both).is_err());
    }
}
