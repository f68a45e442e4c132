//! Tables that spread new flows over targets: consistent hashing after Google's Maglev, with
//! weights.
//!
//! A flow's hash picks a place of a table, and the place names a target. Every target claims
//! places in an order of its own, which follows from its address, and as many as its weight says.
//! So the shares are exact to one place, and when a target goes nearly all places of the others
//! stay theirs.

use std::{cmp::Reverse, collections::BinaryHeap, net::IpAddr};

/// Lengths of tables. Primes, so that a target's steps lead to every place; each about twice the
/// one before, so that few changes of the configuration lead to another.
const LENGTHS: [u32; 14] =
    [31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16_381, 32_749, 65_521, 131_071, 262_139];

/// Entries for each target of an even table, where there is room: shares are exact to a percent.
pub(super) const PLACES: u32 = 100;

/// How much longer than an even one a table may be for the sake of its least weight.
const MOST_UNEVEN: u64 = 16;

/// The length of the table of targets with these weights, with so many places for the least.
pub(super) fn length(weights: impl Iterator<Item = u32> + Clone, places: u32) -> u32 {
    let weights = weights.filter(|weight| *weight != 0);
    let (Some(least), count) = (weights.clone().min(), weights.clone().count() as u64) else {
        return 0;
    };
    if count == 1 {
        return 1;
    }
    let total: u64 = weights.map(u64::from).sum();
    let (places, least) = (u64::from(places), u64::from(least));
    let wanted = (places * total).div_ceil(least).min(places * count * MOST_UNEVEN);
    let longest = LENGTHS.len() - 1;
    let fits = LENGTHS.iter().position(|length| u64::from(*length) >= wanted.max(count));
    LENGTHS.get(fits.unwrap_or(longest)).copied().unwrap_or_default()
}

/// The next shorter length; none for the shortest.
pub(super) fn shorter(length: u32) -> Option<u32> {
    let next = LENGTHS.iter().rev().find(|shorter| **shorter < length);
    next.copied()
}

/// A target and its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    /// The target's address.
    pub address: IpAddr,
    /// Its index in the map of targets.
    pub index: u32,
    /// Its weight, not zero.
    pub weight: u32,
}

/// The table of that length: at each place the index of a target. The members are in the order of
/// their addresses; more of them than there are places get none.
pub(super) fn table(members: &[Member], length: u32) -> Vec<u32> {
    if let [only] = members {
        return vec![only.index];
    }
    let quotas = quotas(members, length);
    let mut walks: Vec<Walk> = members.iter().map(|one| Walk::new(one.address, length)).collect();
    let mut table = vec![None; length as usize];
    // Targets claim places in turn, heavy ones more often: the next is always the one that is least
    // far into its quota.
    let mut claims: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let time = |claimed: u32, quota: u32| {
        ((2 * u64::from(claimed) + 1) << 32).checked_div(2 * u64::from(quota))
    };
    let first = |(number, quota): (usize, &u32)| Some(Reverse((time(0, *quota)?, number)));
    claims.extend(quotas.iter().enumerate().filter_map(first));
    let mut claimed = vec![0; members.len()];
    while let Some(Reverse((_, number))) = claims.pop() {
        let parts = (members.get(number), walks.get_mut(number), claimed.get_mut(number));
        let (Some(member), Some(walk), Some(done)) = parts else { continue };
        let free = walk.find(|place| table.get(*place as usize) == Some(&None));
        let slot = free.and_then(|place| table.get_mut(place as usize));
        if let Some(slot) = slot {
            *slot = Some(member.index);
        }
        *done += 1;
        let quota = quotas.get(number).copied().unwrap_or_default();
        if *done < quota {
            claims.extend(time(*done, quota).map(|time| Reverse((time, number))));
        }
    }
    table.into_iter().flatten().collect()
}

/// How many places each member gets: by weight, exact to one, and one at least.
fn quotas(members: &[Member], length: u32) -> Vec<u32> {
    let total: u64 = members.iter().map(|one| u64::from(one.weight)).sum::<u64>().max(1);
    let exact = |one: &Member| u64::from(one.weight) * u64::from(length);
    let whole = |one: &Member| u32::try_from(exact(one) / total).unwrap_or(length).max(1);
    let mut quotas: Vec<u32> = members.iter().map(whole).collect();
    // The largest remainders get what is left; a member that was raised to one place gets none.
    let remainder = |one: &Member| if exact(one) < total { 0 } else { exact(one) % total };
    let mut order: Vec<_> = members.iter().map(remainder).enumerate().collect();
    order.sort_by_key(|(_, remainder)| Reverse(*remainder));
    let given: u64 = quotas.iter().map(|quota| u64::from(*quota)).sum();
    let left = u64::from(length).saturating_sub(given);
    for (number, _) in order.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        if let Some(quota) = quotas.get_mut(number) {
            *quota += 1;
        }
    }
    // Places that were given beyond a member's share are taken from the largest.
    for _ in u64::from(length)..given {
        if let Some(largest) = quotas.iter_mut().max().filter(|quota| **quota > 0) {
            *largest -= 1;
        }
    }
    quotas
}

/// The order in which a target claims places: every place once.
struct Walk {
    next: u32,
    step: u32,
    length: u32,
    left: u32,
}

impl Walk {
    fn new(address: IpAddr, length: u32) -> Self {
        let hash = hash(address);
        let (high, low) = ((hash >> 32) as u32, hash as u32);
        let step = low % (length - 1).max(1) + 1;
        Self { next: high % length.max(1), step, length, left: length }
    }
}

impl Iterator for Walk {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let place = self.next;
        self.next = (place + self.step) % self.length;
        Some(place)
    }
}

/// Spreads an address over 64 bits: FNV-1a, and the finish of SplitMix64. Where a target's places
/// are must not change from one release to the next.
fn hash(address: IpAddr) -> u64 {
    let fold = |bytes: &[u8]| {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let mut hash = match address {
        IpAddr::V4(v4) => fold(&v4.octets()),
        IpAddr::V6(v6) => fold(&v6.octets()),
    };
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn members(weights: &[u32]) -> Vec<Member> {
        let member = |(number, weight): (u32, &u32)| Member {
            address: IpAddr::from((0x0a00_000a + number).to_be_bytes()),
            index: number + 1,
            weight: *weight,
        };
        (0..).zip(weights).map(member).collect()
    }

    fn built(weights: &[u32]) -> Vec<u32> {
        table(&members(weights), length(weights.iter().copied(), PLACES))
    }

    fn shares(table: &[u32]) -> BTreeMap<u32, usize> {
        let mut shares = BTreeMap::new();
        for target in table {
            *shares.entry(*target).or_default() += 1;
        }
        shares
    }

    #[test]
    fn one_target_needs_one_place() {
        assert_eq!(built(&[7]), [1]);
        assert_eq!(length([0, 5, 0].into_iter(), PLACES), 1);
        assert_eq!(length([0].into_iter(), PLACES), 0);
        assert_eq!((length([1; 3].into_iter(), PLACES), shorter(509)), (509, Some(251)));
        assert_eq!((shorter(31), shorter(1)), (None, None));
    }

    #[test]
    fn lengths_are_primes_about_twice_the_one_before() {
        for pair in LENGTHS.windows(2) {
            assert!(pair[1] < pair[0] * 5 / 2, "{pair:?}");
        }
        for length in LENGTHS {
            assert!((2..).take_while(|n| n * n <= length).all(|n| length % n != 0), "{length}");
        }
    }

    #[test]
    fn a_slight_weight_is_a_share_too() {
        let shares = shares(&built(&[65_535, 65_534, 1]));
        assert_eq!(shares[&3], 1);
        assert!(shares[&1].abs_diff(shares[&2]) <= 1, "{shares:?}");
        let crowd = built(&[1; 61]);
        assert_eq!(crowd.len(), 8191);
        let most = table(&members(&[1; 100]), 61);
        assert_eq!(most.len(), 61);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn shares_are_weights(weights in prop::collection::vec(1_u32..100, 2..20)) {
            let table = built(&weights);
            let shares = shares(&table);
            let total: u32 = weights.iter().sum();
            for (index, weight) in (1..).zip(&weights) {
                let exact = f64::from(*weight) / f64::from(total) * table.len() as f64;
                let got = shares.get(&index).copied().unwrap_or(0) as f64;
                prop_assert!((got - exact).abs() < 1.5, "{index}: {got} instead of {exact}");
            }
        }
    }

    /// How many of the others' places change hands, in thousandths, when one of so many targets
    /// goes.
    fn disruption(count: u32) -> usize {
        let all = members(&vec![1; count as usize]);
        let length = length(all.iter().map(|one| one.weight), PLACES);
        let before = table(&all, length);
        let mut worst = 0;
        for gone in 0..all.len().min(8) {
            let mut rest = all.clone();
            let gone = rest.remove(gone).index;
            let after = table(&rest, length);
            let others = before.iter().zip(&after).filter(|(old, _)| **old != gone);
            let moved = others.clone().filter(|(old, new)| old != new).count();
            worst = worst.max(moved * 1000 / others.count());
        }
        worst
    }

    #[test]
    fn what_stays_keeps_its_places_when_a_target_goes() {
        let figures = [3, 5, 10, 50, 200].map(|count| (count, disruption(count)));
        eprintln!("targets, and thousandths of the others' places that move: {figures:?}");
        for (count, moved) in figures {
            assert!(moved < 60, "of {count} targets: {moved} thousandths move");
        }
    }
}
