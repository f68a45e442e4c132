//! One index for each thing of a kind.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{exhausted::Exhausted, usage::IndexUse};

/// The indices of one kind of thing.
///
/// 0 is never assigned: a map entry that was never written reads as 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Indices {
    used: BTreeMap<String, u32>,
    /// The least index that was never assigned.
    next: u32,
    /// Those that were freed, the one that has been free for longest first.
    freed: Vec<u32>,
}

impl Default for Indices {
    fn default() -> Self {
        Self { used: BTreeMap::new(), next: 1, freed: Vec::new() }
    }
}

impl Indices {
    pub fn get(&self, key: &str) -> Option<u32> {
        self.used.get(key).copied()
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.used.keys().map(String::as_str)
    }

    /// Gives an index to each key. Frees those of other keys, unless `spared` knows them.
    pub fn assign(
        &mut self,
        keys: impl Iterator<Item = String>,
        spared: impl Fn(&str) -> bool,
        what: &'static str,
        limit: u32,
    ) -> Result<(), Exhausted> {
        let keys: BTreeSet<String> = keys.collect();
        let mut freed: Vec<u32> = Vec::new();
        self.used.retain(|key, index| {
            let kept = keys.contains(key) || spared(key);
            if !kept {
                freed.push(*index);
            }
            kept
        });
        self.add(keys, what, limit, &mut freed)?;
        self.freed.append(&mut freed);
        Ok(())
    }

    /// Gives an index to each of these that has none. Those that are `just_freed` come last.
    pub fn add(
        &mut self,
        keys: BTreeSet<String>,
        what: &'static str,
        limit: u32,
        just_freed: &mut Vec<u32>,
    ) -> Result<(), Exhausted> {
        for key in keys {
            if !self.used.contains_key(&key) {
                let index = self.take(limit, just_freed).ok_or(Exhausted { what, limit })?;
                self.used.insert(key, index);
            }
        }
        Ok(())
    }

    /// Whether this index was assigned at some time.
    pub fn has_assigned(&self, index: u32) -> bool {
        index < self.next
    }

    /// What turns this into `next`, one step for each index. The steps are to be made in order.
    pub fn steps_to(&self, next: &Self) -> Vec<(u32, IndexUse)> {
        let lost = |key: &String, index: u32| next.used.get(key) != Some(&index);
        let lost = self.used.iter().filter(|(key, index)| lost(key, **index));
        let mut lost: BTreeMap<u32, &String> = lost.map(|(key, index)| (*index, key)).collect();
        let was_free: BTreeSet<u32> = self.freed.iter().copied().collect();
        let mut steps = Vec::new();
        for index in next.freed.iter().filter(|index| !was_free.contains(index)) {
            steps.push((*index, IndexUse::Freed(lost.remove(index).cloned())));
        }
        // These went to another thing at once.
        steps.extend(
            lost.into_iter().map(|(index, key)| (index, IndexUse::Freed(Some(key.clone())))),
        );
        let won = next.used.iter().filter(|(key, index)| self.used.get(*key) != Some(*index));
        steps.extend(won.map(|(key, index)| (*index, IndexUse::Of(key.clone()))));
        steps
    }

    /// Makes a step.
    pub fn apply(&mut self, index: u32, step: IndexUse) {
        self.next = self.next.max(index.saturating_add(1));
        match step {
            IndexUse::Of(key) => {
                self.freed.retain(|free| *free != index);
                self.used.insert(key, index);
            }
            IndexUse::Freed(key) => {
                if let Some(key) = key
                    && self.used.get(&key) == Some(&index)
                {
                    self.used.remove(&key);
                }
                if !self.freed.contains(&index) {
                    self.freed.push(index);
                }
            }
        }
    }

    /// The indices of keys that did not have them in `before`, though they had been assigned by
    /// then.
    pub fn reused_since(&self, before: &Self) -> Vec<u32> {
        let known = |key: &String, index: u32| before.used.get(key) == Some(&index);
        let reused =
            self.used.iter().filter(|(key, index)| **index < before.next && !known(key, **index));
        reused.map(|(_, index)| *index).collect()
    }

    fn take(&mut self, limit: u32, just_freed: &mut Vec<u32>) -> Option<u32> {
        if self.next < limit {
            self.next += 1;
            return Some(self.next - 1);
        }
        if self.freed.is_empty() { just_freed.pop() } else { Some(self.freed.remove(0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(indices: &mut Indices, keys: &[&str], limit: u32) -> Result<Vec<u32>, Exhausted> {
        indices.assign(keys.iter().map(ToString::to_string), |_| false, "things", limit)?;
        Ok(keys.iter().filter_map(|key| indices.get(key)).collect())
    }

    #[test]
    fn an_index_is_kept_and_not_used_again() {
        let mut indices = Indices::default();
        assert_eq!(assign(&mut indices, &["a", "b"], 9), Ok(vec![1, 2]));
        assert_eq!(assign(&mut indices, &["b", "c"], 9), Ok(vec![2, 3]));
        assert_eq!(assign(&mut indices, &["a", "b"], 9), Ok(vec![4, 2]));
    }

    #[test]
    fn with_none_left_the_longest_free_is_used_first() {
        let mut indices = Indices::default();
        assert_eq!(assign(&mut indices, &["a", "b", "c"], 4), Ok(vec![1, 2, 3]));
        assert_eq!(assign(&mut indices, &["a", "c"], 4), Ok(vec![1, 3]));
        assert_eq!(assign(&mut indices, &["c"], 4), Ok(vec![3]));
        assert_eq!(assign(&mut indices, &["c", "d"], 4), Ok(vec![3, 2]));
        assert_eq!(assign(&mut indices, &["e", "f", "g"], 4), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn reused_indices_are_reported() {
        let mut indices = Indices::default();
        assign(&mut indices, &["a", "b", "c"], 5).unwrap();
        let before = indices.clone();
        assign(&mut indices, &["a", "c", "d"], 5).unwrap();
        assert!(
            indices.reused_since(&before).is_empty(),
            "`d` has an index that was never assigned"
        );
        let before = indices.clone();
        assign(&mut indices, &["a", "d", "e"], 5).unwrap();
        assert_eq!(indices.reused_since(&before), [2], "`e` has that of `b`");
        assert!(indices.reused_since(&indices).is_empty());
    }

    #[test]
    fn what_others_use_is_spared() {
        let mut indices = Indices::default();
        assign(&mut indices, &["a", "b"], 9).unwrap();
        let keys = || ["c".to_owned()].into_iter();
        indices.assign(keys(), |key| key == "a", "things", 9).unwrap();
        assert_eq!(["a", "b", "c"].map(|key| indices.get(key)), [Some(1), None, Some(3)]);
    }

    proptest::proptest! {
        #[test]
        fn the_steps_between_two_states_lead_from_one_to_the_other(
            sets in proptest::collection::vec(proptest::collection::btree_set(0..9u8, 0..5), 2..9)
        ) {
            let mut indices = Indices::default();
            let mut journal = Indices::default();
            for set in sets {
                let keys: Vec<String> = set.iter().map(ToString::to_string).collect();
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                assign(&mut indices, &keys, 7).unwrap();
                for (index, step) in journal.steps_to(&indices) {
                    journal.apply(index, step);
                }
                proptest::prop_assert_eq!(&journal, &indices);
                let mut anew = Indices::default();
                for (index, step) in Indices::default().steps_to(&indices) {
                    anew.apply(index, step);
                }
                proptest::prop_assert_eq!(&anew, &indices);
            }
        }
    }

    #[test]
    fn more_than_there_is_room_for_is_an_error() {
        let mut indices = Indices::default();
        let error = Exhausted { what: "things", limit: 2 };
        assert_eq!(assign(&mut indices, &["a", "b", "c"], 2), Err(error));
    }
}
