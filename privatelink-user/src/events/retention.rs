//! Which events are kept when there is no room for all: no principal's displace another's, and none
//! displace those of connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::stored::StoredEvent;
use crate::model::Name;

/// A share of the room: events of connections, and all others, of one principal each.
type Share<'a> = (bool, Option<&'a str>);

/// Removes events until at most `capacity` of connections and as many others are left: in turn the
/// oldest of the principal that has most.
pub(super) fn trim(entries: &mut VecDeque<StoredEvent>, capacity: usize) {
    if entries.len() <= capacity {
        return;
    }
    let surplus = surplus(entries, capacity);
    // Once the room is full, each event displaces one: mostly an old one, which is near the front.
    if surplus.len() == 1 {
        surplus.into_iter().for_each(|place| drop(entries.remove(place)));
        return;
    }
    let mut place = 0;
    entries.retain(|_| {
        place += 1;
        !surplus.contains(&(place - 1))
    });
}

/// The places of the events that are too many.
fn surplus(entries: &VecDeque<StoredEvent>, capacity: usize) -> BTreeSet<usize> {
    let mut counts = BTreeMap::<Share<'_>, usize>::new();
    for entry in entries {
        *counts.entry(share(entry)).or_default() += 1;
    }
    let mut surplus = BTreeMap::<Share<'_>, usize>::new();
    for is_connection in [false, true] {
        let of_class = counts.iter().filter(|((class, _), _)| *class == is_connection);
        let sizes: Vec<usize> = of_class.clone().map(|(_, count)| *count).collect();
        let most = largest_share(&sizes, capacity);
        let mut rest = sizes.iter().sum::<usize>().saturating_sub(capacity);
        for (share, count) in of_class {
            let over = count.saturating_sub(most).min(rest);
            rest -= over;
            surplus.insert(*share, over);
        }
    }
    let count = surplus.values().sum();
    let too_many = entries.iter().enumerate().filter(|(_, entry)| {
        let over = surplus.get_mut(&share(entry)).filter(|over| **over > 0);
        over.is_some_and(|over| {
            *over -= 1;
            true
        })
    });
    too_many.map(|(place, _)| place).take(count).collect()
}

/// The largest share so that not all of these fit into `capacity` with one more for the largest.
fn largest_share(sizes: &[usize], capacity: usize) -> usize {
    let fits = |most: usize| sizes.iter().map(|size| *size.min(&most)).sum::<usize>() <= capacity;
    let (mut low, mut high) = (0, capacity);
    while low < high {
        let middle = high - (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

fn share(entry: &StoredEvent) -> Share<'_> {
    (entry.is_of_connection(), entry.maker().map(Name::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(entries: &VecDeque<StoredEvent>) -> Vec<u64> {
        entries.iter().map(|entry| entry.event.number).collect()
    }

    #[test]
    fn who_makes_most_loses_first() {
        let mut entries: VecDeque<_> =
            (0..3).map(|number| StoredEvent::sample(number, "target-healthy", "quiet")).collect();
        entries
            .extend((3..100).map(|number| StoredEvent::sample(number, "next-hop-found", "noisy")));
        trim(&mut entries, 10);
        assert_eq!(numbers(&entries), [0, 1, 2, 93, 94, 95, 96, 97, 98, 99]);
    }

    #[test]
    fn room_is_used_whole_and_split_evenly_where_all_want_more() {
        let makers = ["a", "b", "c"];
        let mut entries: VecDeque<_> = (0..90)
            .map(|number| {
                StoredEvent::sample(number, "target-healthy", makers[number as usize % 3])
            })
            .collect();
        trim(&mut entries, 10);
        assert_eq!(entries.len(), 10);
        for maker in makers {
            let own = entries.iter().filter(|entry| entry.maker == maker.parse().ok()).count();
            assert!((3..=4).contains(&own), "{maker} {own}");
        }
    }

    #[test]
    fn connections_are_displaced_by_nothing_else() {
        let mut entries: VecDeque<_> = (0..10)
            .map(|number| StoredEvent::sample(number, "connection-available", "acme"))
            .collect();
        entries.extend(
            (10..1_000).map(|number| StoredEvent::sample(number, "next-hop-found", "acme")),
        );
        trim(&mut entries, 10);
        assert_eq!(numbers(&entries)[..11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 990]);
        assert_eq!(entries.len(), 20);
    }
}
