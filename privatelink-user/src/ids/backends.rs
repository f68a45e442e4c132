//! The ranges of the backend table.
//!
//! A range is never changed in place: a packet may be reading it through its old listener. One
//! with other content gets another place, and what is given up rests until the table wraps.

use std::collections::BTreeMap;

use privatelink_common::{Pool, maps};
use serde::{Deserialize, Serialize};

use super::Exhausted;

/// The most entries of one pool: weights beyond this resolution are rounded.
const MAX_POOL: u64 = 4096;

/// Which service has which range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Backends {
    ranges: BTreeMap<String, Range>,
    /// Where to look for room first.
    cursor: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    first: u32,
    targets: Vec<u32>,
}

impl Range {
    fn end(&self) -> u32 {
        self.first + len(&self.targets)
    }
}

impl Backends {
    pub fn pool(&self, key: &str) -> (Pool, &[u32]) {
        self.ranges.get(key).map_or((Pool::default(), &[]), |range| {
            (Pool { first: range.first, count: len(&range.targets) }, &range.targets)
        })
    }

    pub fn assign(&mut self, wanted: BTreeMap<String, Vec<u32>>) -> Result<(), Exhausted> {
        // By place: those that stay, and those that are given up now and may still be read.
        let mut taken: BTreeMap<u32, u32> =
            self.ranges.values().map(|range| (range.first, range.end())).collect();
        let mut ranges = BTreeMap::new();
        for (key, targets) in wanted {
            if targets.is_empty() {
                continue;
            }
            let range = match self.ranges.get(&key) {
                Some(range) if range.targets == targets => range.clone(),
                Some(_) | None => {
                    let first = self.place(&taken, len(&targets))?;
                    Range { first, targets }
                }
            };
            taken.insert(range.first, range.end());
            ranges.insert(key, range);
        }
        self.ranges = ranges;
        Ok(())
    }

    /// Finds room at the cursor or, once around, before it.
    fn place(&mut self, taken: &BTreeMap<u32, u32>, count: u32) -> Result<u32, Exhausted> {
        for start in [self.cursor, 0] {
            let mut first = start;
            let before = taken.range(..start).next_back();
            first = before.map_or(first, |(_, end)| first.max(*end));
            for (next, end) in taken.range(start..) {
                if first + count <= *next {
                    break;
                }
                first = first.max(*end);
            }
            if first + count <= maps::MAX_BACKENDS {
                self.cursor = first + count;
                return Ok(first);
            }
        }
        Err(Exhausted { what: "weighted targets", limit: maps::MAX_BACKENDS })
    }
}

/// Names each target as often as its weight says, in least numbers.
pub(super) fn repeat_by_weight(targets: &[(u32, u32)]) -> Vec<u32> {
    let divisor = targets.iter().fold(0, |divisor, (_, weight)| gcd(divisor, *weight)).max(1);
    let total: u64 = targets.iter().map(|(_, weight)| u64::from(weight / divisor)).sum();
    let times = |weight: u32| {
        let weight = u64::from(weight / divisor);
        let scaled = if total > MAX_POOL { weight * MAX_POOL / total } else { weight };
        // However small, a weight is a share.
        if weight == 0 { 0 } else { scaled.max(1) }
    };
    let repeated = targets.iter().flat_map(|(index, weight)| (0..times(*weight)).map(|_| *index));
    repeated.collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Lengths here are bounded by the maps, far below the range of the type.
fn len(targets: &[u32]) -> u32 {
    u32::try_from(targets.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(backends: &mut Backends, wanted: &[(&str, usize, u32)]) -> Vec<u32> {
        let wanted = wanted.iter().map(|(key, count, t)| (key.to_string(), vec![*t; *count]));
        let wanted: BTreeMap<_, _> = wanted.collect();
        let keys: Vec<String> = wanted.keys().cloned().collect();
        backends.assign(wanted).unwrap();
        keys.iter().map(|key| backends.pool(key).0.first).collect()
    }

    #[test]
    fn weights_are_shares() {
        let repeat = repeat_by_weight;
        assert_eq!(repeat(&[(7, 100), (8, 100)]), [7, 8]);
        assert_eq!(repeat(&[(7, 100), (8, 50)]), [7, 7, 8]);
        assert_eq!(repeat(&[(7, 0), (8, 3)]), [8]);
        assert!(repeat(&[(7, 0)]).is_empty());
        let many = repeat(&[(7, 65_535), (8, 65_534), (9, 1)]);
        assert!(many.len() <= 4097 && many.contains(&9), "{}", many.len());
    }

    #[test]
    fn a_changed_range_moves_and_others_stay() {
        let mut backends = Backends::default();
        assert_eq!(assign(&mut backends, &[("a", 2, 0), ("b", 3, 1)]), [0, 2]);
        assert_eq!(assign(&mut backends, &[("a", 2, 5), ("b", 3, 1)]), [5, 2]);
        assert_eq!(assign(&mut backends, &[("a", 1, 5), ("b", 3, 1)]), [7, 2]);
    }

    #[test]
    fn room_is_found_again_after_the_end() {
        let mut backends = Backends::default();
        let half = maps::MAX_BACKENDS / 2;
        let most = half as usize + 1;
        assert_eq!(assign(&mut backends, &[("a", most, 0)]), [0]);
        assert_eq!(assign(&mut backends, &[("a", 2, 1)]), [half + 1]);
        assert_eq!(assign(&mut backends, &[("a", most, 2)]), [0]);
        assert!(backends.assign([("b".to_string(), vec![0; most])].into()).is_err());
    }
}
