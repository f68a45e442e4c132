//! The search for a client and a port in an endpoint's security rules.
//!
//! The rules are a tree that the daemon has compiled: see
//! `RuleNode`.

use crate::environment::{Tables, Walk};
use privatelink_common::{
    Addr, Endpoint, RuleKey, UDP,
    flow::word,
    policy::{Bound, NODE_DEPTH, NODE_INTERVALS, RuleNode, answer},
};

/// Whether a client may reach a port, in the machine's order, by the endpoint's rules. The root is
/// that of its family and protocol.
#[inline(never)]
pub fn is_allowed<T: Tables>(
    tables: &T,
    endpoint: &Endpoint,
    client: &Addr,
    root: u32,
    port: u16,
) -> bool {
    let [a, b, c, d] = client.words().map(|word| u64::from(u32::from_be(word)));
    // An IPv4 client is its last word. Asked by the root of its family only, no client of one
    // family is taken for one of the other.
    let is_v4 = root & RuleNode::ROOT_V6 == RuleNode::ROOT_V4;
    let (high, low) = if is_v4 { (0, d) } else { (a << 32 | b, c << 32 | d) };
    let key = RuleKey { set: endpoint.rules, number: root };
    let mut search = Search { key, high, low, port: port.into(), allowed: false };
    tables.walk(NODE_DEPTH, &mut search);
    search.allowed
}

/// Where the search for clients of a family begins that come by this protocol.
#[inline(always)]
pub fn root_of(family: u32, protocol: u32) -> u32 {
    if protocol == u32::from(UDP) { family + RuleNode::BY_UDP } else { family }
}

/// Whether the security rules of a slot's endpoint let its flow through.
#[inline(always)]
pub fn allows<T: Tables>(tables: &T, index: u32) -> bool {
    let Some(slot) = tables.slot(index) else { return false };
    let Some(endpoint) = tables.endpoint(slot.endpoint()) else { return false };
    let client = Addr::from_words(slot.client());
    let family = if client.is_v4() { RuleNode::ROOT_V4 } else { RuleNode::ROOT_V6 };
    let protocol = (slot.word() & word::PROTOCOL) >> word::PROTOCOL_SHIFT;
    let root = root_of(family, protocol);
    let [_, _, high, low] = slot.consumer_ports().to_ne_bytes();
    is_allowed(tables, endpoint, &client, root, u16::from_be_bytes([high, low]))
}

/// A search, node by node.
struct Search {
    key: RuleKey,
    /// What the next node is asked for.
    high: u64,
    low: u64,
    port: u64,
    allowed: bool,
}

impl<T: Tables> Walk<T> for Search {
    #[inline(always)]
    fn step(&mut self, tables: &T, _number: u32) -> bool {
        let Some(node) = tables.rule(&self.key) else { return true };
        // The place lies in a map: the verifier would follow a local variable through all values
        // that it can have.
        let Some(scratch) = tables.scratch() else { return true };
        let place = &scratch.interval;
        place.store(0);
        let halve = |half: u32| {
            let next = place.load().wrapping_add(half);
            if let Some(Bound { high, low }) = node.begins.get(next as usize)
                && (*high < self.high || *high == self.high && *low <= self.low)
            {
                place.store(next);
            }
        };
        halve(16);
        halve(8);
        halve(4);
        halve(2);
        halve(1);
        let Some(said) = node.answers.get(place.load() as usize) else { return true };
        if *said < answer::FIRST_NODE {
            self.allowed = *said == answer::ALLOWED;
            return true;
        }
        self.key.number = *said & !answer::PORTS;
        if *said & answer::PORTS != 0 {
            (self.high, self.low) = (0, self.port);
        }
        false
    }
}

/// The steps above find each interval.
const _: () = assert!(NODE_INTERVALS == 32);
