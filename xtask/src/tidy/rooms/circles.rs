//! Circles among things that point at each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry};

/// Who points at whom.
pub type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The knots: largest sets, of two or more, each member of which leads to every other.
pub fn knots<'a>(graph: &Graph<'a>) -> Vec<BTreeSet<&'a str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|&start| (start, reachable(graph, start))).collect();
    let mut knots: Vec<BTreeSet<&str>> = Vec::new();
    for (&one, reached) in &reach {
        if !reached.contains(one) || knots.iter().any(|knot| knot.contains(one)) {
            continue;
        }
        let leads_back = |other: &&&str| reach.get(**other).is_some_and(|of| of.contains(one));
        knots.push(reached.iter().filter(leads_back).copied().collect());
    }
    knots
}

/// A shortest way within `knot` from its first member back to it, which stands at both ends.
pub fn chain<'a>(graph: &Graph<'a>, knot: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let shortest = knot.iter().map(|&start| way_back(graph, knot, start));
    shortest.filter(|way| !way.is_empty()).min_by_key(Vec::len).unwrap_or_default()
}

fn way_back<'a>(graph: &Graph<'a>, knot: &BTreeSet<&'a str>, start: &'a str) -> Vec<&'a str> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for &next in graph.get(at).into_iter().flatten().filter(|next| knot.contains(**next)) {
            if next == start {
                let mut way = vec![start, at];
                let mut last = at;
                while last != start {
                    let Some(&earlier) = before.get(last) else { break };
                    way.push(earlier);
                    last = earlier;
                }
                way.reverse();
                return way;
            }
            // The first way to each is the shortest.
            if let Entry::Vacant(unseen) = before.entry(next) {
                unseen.insert(at);
                queue.push_back(next);
            }
        }
    }
    Vec::new()
}

/// Everything that `start` leads to, itself only by way of another.
fn reachable<'a>(graph: &Graph<'a>, start: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(at) = open.pop() {
        for &next in graph.get(at).into_iter().flatten() {
            if next != at && reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph<'a>(arrows: &[(&'a str, &'a str)]) -> Graph<'a> {
        let mut graph = Graph::new();
        for (from, to) in arrows {
            graph.entry(from).or_default().insert(to);
        }
        graph
    }

    #[test]
    fn a_knot_is_found_with_its_shortest_chain() {
        let graph = graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "b"), ("x", "a")]);
        let knots = knots(&graph);
        assert_eq!(knots, [BTreeSet::from(["a", "b", "c"])]);
        assert_eq!(chain(&graph, &knots[0]), ["b", "c", "b"]);
    }

    #[test]
    fn a_chain_ends_where_several_ways_meet_again() {
        let arrows = [
            ("a", "b"),
            ("a", "c"),
            ("b", "d"),
            ("c", "d"),
            ("d", "b"),
            ("d", "c"),
            ("c", "e"),
            ("e", "a"),
        ];
        let graph = graph(&arrows);
        assert_eq!(way_back(&graph, &knots(&graph)[0], "a"), ["a", "c", "e", "a"]);
    }

    #[test]
    fn a_graph_without_a_circle_has_no_knot() {
        assert!(knots(&graph(&[("a", "b"), ("b", "c"), ("a", "c"), ("c", "c")])).is_empty());
    }

    #[test]
    fn two_knots_stay_two() {
        let arrows = [("a", "b"), ("b", "a"), ("b", "c"), ("c", "d"), ("d", "c")];
        assert_eq!(knots(&graph(&arrows)).len(), 2);
    }
}
