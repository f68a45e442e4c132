//! Security rules compiled into search trees.
//!
//! A rule is a prefix and a range of ports. The prefixes of a set cut the addresses of a family into
//! intervals, in each of which the same rules apply, so the same ports are allowed. The intervals, in
//! order, are a search tree of [`RuleNode`]s; those with the same ports share another tree, of
//! intervals of ports. So what a packet costs depends neither on the number of rules nor on how
//! their prefixes are nested.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher as _},
    net::IpAddr,
    ops::RangeInclusive,
};

use ipnet::IpNet;
use privatelink_common::{
    RuleKey,
    policy::{Bound, NODE_INTERVALS, RuleNode, answer},
};
use zerocopy::IntoBytes as _;

use crate::model::Protocol;

/// Clients of a prefix may reach a range of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The clients.
    pub from: IpNet,
    /// The ports of the endpoint.
    pub ports: RangeInclusive<u16>,
    /// By which protocol; `None` is either.
    pub protocol: Option<Protocol>,
}

impl Rule {
    /// Of either protocol.
    pub const fn new(from: IpNet, ports: RangeInclusive<u16>) -> Self {
        Self { from, ports, protocol: None }
    }

    fn is_for(&self, v4: bool, protocol: Protocol) -> bool {
        let is_protocol = self.protocol.is_none_or(|only| only == protocol);
        is_protocol && self.from.addr().is_ipv4() == v4
    }
}

/// Ranges of ports, sorted, that neither overlap nor touch.
type Ports = Vec<RangeInclusive<u16>>;

/// Where an interval begins, and the answer within it.
type Interval = (u128, u32);

/// A set of rules as the datapath asks it: nodes by their number.
pub fn compile(rules: &[Rule]) -> BTreeMap<u32, RuleNode> {
    let mut set = RuleSet::default();
    for (root, v4) in [(RuleNode::ROOT_V4, true), (RuleNode::ROOT_V6, false)] {
        let of = |protocol| rules.iter().filter(|rule| rule.is_for(v4, protocol)).collect();
        let (tcp, udp): (Vec<&Rule>, Vec<&Rule>) = (of(Protocol::Tcp), of(Protocol::Udp));
        let by_udp = root + RuleNode::BY_UDP;
        if tcp == udp {
            set.root(root, tcp);
            // Nearly always: the trees below are shared.
            let node = set.nodes.get(&root).copied();
            set.nodes.extend(node.map(|node| (by_udp, node)));
        } else {
            set.root(root, tcp);
            set.root(by_udp, udp);
        }
    }
    set.nodes
}

/// Puts a compiled set and returns its key. Sets with the same content share it.
pub(super) fn put(
    all: &mut BTreeMap<RuleKey, RuleNode>,
    nodes: BTreeMap<u32, RuleNode>,
) -> [u32; 2] {
    let mut hasher = DefaultHasher::new();
    for (number, node) in &nodes {
        hasher.write_u32(*number);
        hasher.write(node.as_bytes());
    }
    let mut name = hasher.finish();
    loop {
        let set = [name as u32, (name >> 32) as u32];
        let key = |number: &u32| RuleKey { set, number: *number };
        // Two different sets with one hash: the later one, in the order of endpoints, takes the
        // next name. No set has the name zero, which stands for none.
        let differs = |(number, node): (&u32, &RuleNode)| {
            all.get(&key(number)).is_some_and(|there| there != node)
        };
        if set == [0, 0] || nodes.iter().any(differs) {
            name = name.wrapping_add(1);
            continue;
        }
        all.extend(nodes.iter().map(|(number, node)| (key(number), *node)));
        return set;
    }
}

/// A set while it is compiled.
#[derive(Default)]
struct RuleSet {
    nodes: BTreeMap<u32, RuleNode>,
    /// The answers for the ports seen so far.
    ports: BTreeMap<Vec<(u16, u16)>, u32>,
    /// How many numbers other than those of roots are taken.
    taken: u32,
}

impl RuleSet {
    /// Makes the tree under a root. Without a root, no client of its family and protocol is allowed.
    fn root(&mut self, root: u32, rules: Vec<&Rule>) {
        if !rules.is_empty() {
            let intervals = self.addresses(rules);
            self.tree(intervals, Some(root));
        }
    }

    /// The intervals of addresses of one family.
    fn addresses(&mut self, mut rules: Vec<&Rule>) -> Vec<Interval> {
        // In this order a prefix comes after all that hold it: those that hold the address where
        // the search is are a stack.
        rules.sort_by_key(|rule| (first(rule), rule.from.prefix_len()));
        let mut cuts: Vec<u128> = vec![0];
        for rule in &rules {
            cuts.push(first(rule));
            cuts.extend(last(rule).checked_add(1));
        }
        cuts.sort_unstable();
        cuts.dedup();
        let mut rules = rules.into_iter().peekable();
        let mut open: Vec<&Rule> = Vec::new();
        let mut intervals: Vec<Interval> = Vec::new();
        for at in cuts {
            open.retain(|rule| last(rule) >= at);
            open.extend(std::iter::from_fn(|| rules.next_if(|rule| first(rule) <= at)));
            let answer = self.answer_for(joined(open.iter().map(|rule| rule.ports.clone())));
            if intervals.last().is_none_or(|(_, before)| *before != answer) {
                intervals.push((at, answer));
            }
        }
        intervals
    }

    /// The answer where these ports are allowed.
    fn answer_for(&mut self, ports: Ports) -> u32 {
        match ports.as_slice() {
            [] => return answer::REFUSED,
            [all] if *all == (0..=u16::MAX) => return answer::ALLOWED,
            _ => {}
        }
        let key: Vec<_> = ports.iter().map(|range| (*range.start(), *range.end())).collect();
        if let Some(known) = self.ports.get(&key) {
            return *known;
        }
        let mut intervals: Vec<Interval> = Vec::new();
        if key.first().is_some_and(|(first, _)| *first > 0) {
            intervals.push((0, answer::REFUSED));
        }
        for (first, last) in &key {
            intervals.push(((*first).into(), answer::ALLOWED));
            intervals.extend(last.checked_add(1).map(|next| (next.into(), answer::REFUSED)));
        }
        let answer = self.tree(intervals, None) | answer::PORTS;
        self.ports.insert(key, answer);
        answer
    }

    /// Makes a tree of intervals, under the number of `root` or else a free one; returns it.
    fn tree(&mut self, mut intervals: Vec<Interval>, root: Option<u32>) -> u32 {
        while intervals.len() > NODE_INTERVALS {
            let parts = intervals.chunks(NODE_INTERVALS).filter_map(|part| {
                let (begins, _) = part.first()?;
                Some((*begins, part.to_vec()))
            });
            let parts: Vec<(u128, Vec<Interval>)> = parts.collect();
            let above = parts.into_iter().map(|(begins, part)| {
                let number = self.free();
                self.nodes.insert(number, node(&part));
                (begins, number)
            });
            intervals = above.collect();
        }
        let number = root.unwrap_or_else(|| self.free());
        self.nodes.insert(number, node(&intervals));
        number
    }

    fn free(&mut self) -> u32 {
        let number = answer::FIRST_NODE + self.taken;
        self.taken += 1;
        number
    }
}

/// A node of at most [`NODE_INTERVALS`] intervals.
fn node(intervals: &[Interval]) -> RuleNode {
    let mut node = RuleNode::default();
    // Those that are not needed are like the last one, and begin where it does.
    let last = intervals.last().copied().unwrap_or_default();
    let padded = intervals.iter().copied().chain(std::iter::repeat(last));
    let places = node.begins.iter_mut().zip(&mut node.answers);
    for ((begins, answer), (at, value)) in places.zip(padded) {
        *begins = Bound { high: (at >> 64) as u64, low: at as u64 };
        *answer = value;
    }
    node
}

/// Ranges as few as possible.
fn joined(ranges: impl Iterator<Item = RangeInclusive<u16>>) -> Ports {
    let mut ranges: Ports = ranges.collect();
    ranges.sort_by_key(|range| *range.start());
    let mut joined: Ports = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(before) if u32::from(*range.start()) <= u32::from(*before.end()) + 1 => {
                *before = *before.start()..=*before.end().max(range.end());
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// The first address of a rule, as a number in its family.
fn first(rule: &Rule) -> u128 {
    number(rule.from.network())
}

/// The last address of a rule, likewise.
fn last(rule: &Rule) -> u128 {
    number(rule.from.broadcast())
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
