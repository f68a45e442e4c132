//! Flows as people see them: both directions in one record, names instead of indices.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
};

use privatelink_common::{
    TCP, TICK_SHIFT, UDP,
    flow::{self, Phase, word},
};

use crate::{datapath::flow_records::FlowRecords, interface::types};

/// How many flows a walk of the flow table remembers at most, at some fifty bytes each. For more,
/// there are several walks, each for a share of them.
const SHARE: u64 = 1 << 20;

/// Which flows a list has.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those with this address: of client, endpoint, source or target.
    pub address: Option<IpAddr>,
    /// Only those with this port at any of these.
    pub port: Option<u16>,
    /// Only those of this protocol number.
    pub protocol: Option<u8>,
    /// Only those in this phase.
    pub state: Option<Phase>,
}

/// A list of flows that is yet to be made.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The records that the indices in a flow name.
    pub parts: FlowRecords,
    /// The names of the endpoints whose flows are listed, by index.
    pub names: BTreeMap<u32, String>,
    /// Which of their flows are listed.
    pub filter: Filter,
    /// The most flows in the list.
    pub limit: u64,
    /// The present time, in ticks.
    pub now: u32,
}

/// What is remembered of a flow between walks: the state and the counts of its reverse direction.
struct Back {
    phase: u32,
    last_seen: u32,
    packets: u32,
    bytes: u64,
}

impl Listing {
    /// How many flows it would have without its limit.
    pub fn count(&self, slots: impl Iterator<Item = flow::Flow>) -> u64 {
        slots.filter(|slot| self.wants(slot)).count() as u64
    }

    /// Makes the list, of about `all` flows, in the order of their slots.
    ///
    /// The slots are walked several times: the two of a flow are far from each other.
    pub fn for_each<I: Iterator<Item = flow::Flow>>(
        &self,
        all: u64,
        slots: impl Fn() -> I,
        mut each: impl FnMut(types::Flow) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let shares = all / SHARE + 1;
        let keys = RandomState::new();
        let mut left = self.limit;
        for share in 0..shares {
            let here = |slot: &flow::Flow| share_of(slot, shares) == share;
            let wanted = |slot: &flow::Flow| self.wants(slot) && here(slot);
            let mut known: BTreeMap<u64, Back> = BTreeMap::new();
            for slot in slots().filter(wanted) {
                if known.len() as u64 == left {
                    break;
                }
                known.insert(key(&keys, &slot), Back::none(&slot));
            }
            left -= known.len() as u64;
            for slot in slots().filter(|slot| slot.is_reverse() && here(slot)) {
                if let Some(back) = known.get_mut(&key(&keys, &slot)) {
                    *back = Back::of(&slot);
                }
            }
            for slot in slots().filter(wanted) {
                let Some(back) = known.remove(&key(&keys, &slot)) else { continue };
                if let Some(flow) = self.record(&slot, &back) {
                    each(flow)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether a slot is the first of a flow that is wanted.
    fn wants(&self, slot: &flow::Flow) -> bool {
        let Filter { address, port, protocol, state } = self.filter;
        let first = !slot.is_reverse()
            && self.names.contains_key(&slot.endpoint())
            && self.parts.endpoints.contains_key(&slot.endpoint())
            && protocol.is_none_or(|protocol| slot.protocol() == protocol)
            && state.is_none_or(|state| Phase::of(slot.word) == state);
        if !first || (port, address) == (None, None) {
            return first;
        }
        let ends = self.parts.ends(slot);
        port.is_none_or(|port| ends.iter().any(|end| end.1 == port))
            && address.is_none_or(|address| ends.iter().any(|end| end.0 == Some(address)))
    }

    fn record(&self, flow: &flow::Flow, back: &Back) -> Option<types::Flow> {
        let [client, address, source, target] = self.parts.ends(flow).map(at);
        let idle = self.idle(flow.last_seen).min(self.idle(back.last_seen));
        Some(types::Flow {
            endpoint: self.names.get(&flow.endpoint())?.clone(),
            protocol: match flow.protocol() {
                TCP => "tcp".into(),
                UDP => "udp".into(),
                other => other.to_string(),
            },
            client,
            address,
            source,
            target,
            state: Phase::of(back.phase.max(flow.word & word::PHASE)).name().into(),
            packets: u64::from(flow.packets) + u64::from(back.packets),
            bytes: flow.bytes + back.bytes,
            idle_seconds: (u64::from(idle) << TICK_SHIFT) / 1_000_000_000,
        })
    }

    /// The time since then, in ticks.
    fn idle(&self, last_seen: u32) -> u32 {
        let idle = self.now.wrapping_sub(last_seen);
        // A packet that came after `now` was read.
        if idle > u32::MAX / 2 { 0 } else { idle }
    }
}

impl Back {
    /// The reverse direction of a flow whose slot has not been seen yet.
    fn none(forward: &flow::Flow) -> Self {
        Self { phase: 0, last_seen: forward.last_seen, packets: 0, bytes: 0 }
    }

    fn of(slot: &flow::Flow) -> Self {
        let flow::Flow { last_seen, packets, bytes, .. } = *slot;
        Self { phase: slot.word & word::PHASE, last_seen, packets, bytes }
    }
}

/// The share that a flow belongs to, the same for both its slots.
fn share_of(flow: &flow::Flow, shares: u64) -> u64 {
    let [_, _, _, last] = flow.client.words();
    let ports = u64::from(flow.consumer_ports) << 32 | u64::from(flow.provider_ports);
    let mixed = (ports ^ u64::from(last).rotate_left(16)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) % shares
}

/// The number of live flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// By endpoint index.
    pub endpoints: BTreeMap<u32, u64>,
    /// By target index and port.
    pub targets: BTreeMap<(u32, u16), u64>,
}

/// FlowCounts the flows of these slots by target index and port.
pub fn by_target(slots: impl Iterator<Item = flow::Flow>) -> BTreeMap<(u32, u16), u64> {
    let mut counts = BTreeMap::new();
    for slot in slots.filter(|slot| !slot.is_reverse()) {
        let [port, _] = slot.provider_port_pair();
        *counts.entry((slot.target(), port)).or_default() += 1;
    }
    counts
}

/// A key for a flow, the same for both its slots. It is a hash: two of a million flows share one in
/// one of many million lists.
fn key(keys: &RandomState, flow: &flow::Flow) -> u64 {
    keys.hash_one((
        flow.endpoint(),
        flow.protocol(),
        flow.client,
        flow.consumer_port_pair(),
        flow.target(),
        flow.source,
        flow.provider_port_pair(),
    ))
}

/// `IP:PORT`; the address is unknown once its record has been removed.
fn at((address, port): (Option<IpAddr>, u16)) -> String {
    address.map_or_else(|| format!("?:{port}"), |ip| SocketAddr::new(ip, port).to_string())
}

#[cfg(test)]
mod tests {
    use privatelink_common::{Addr, Endpoint, Source, Target};

    use super::*;
    use crate::datapath::tables::MapTables;

    fn ip(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn tables() -> MapTables {
        let mut tables = MapTables::default();
        let v4 = u32::from_ne_bytes([10, 1, 0, 50]);
        tables.endpoints.insert(3, Endpoint { v4, v6: ip("fd00:1::50"), ..Endpoint::default() });
        tables.targets.insert(4, Target { address: ip("fd00::10"), ..Target::default() });
        tables.sources.insert(5, Source::at(ip("fd00::f3"), 1));
        tables
    }

    fn slot(client: &str, phase: Phase, bits: u32, last_seen: u32, packets: u8) -> flow::Flow {
        flow::Flow {
            word: word::LIVE | u32::from(TCP) << word::PROTOCOL_SHIFT | phase.bits() | bits,
            last_seen,
            client: ip(client),
            consumer_ports: u32::from_ne_bytes([0x9c, 0x40, 0, 80]),
            provider_ports: u32::from_ne_bytes([0x1f, 0x90, 0xc3, 0x50]),
            endpoint: 3,
            target: 4,
            source: 5,
            packets: packets.into(),
            bytes: u64::from(packets) * 100,
            ..flow::Flow::default()
        }
    }

    /// Both slots of a flow over IPv4, and one of a flow over IPv6.
    fn slots() -> [flow::Flow; 3] {
        [
            slot("10.1.0.2", Phase::Answered, 0, 900, 3),
            slot("fd00:1::2", Phase::Opening, 0, 1_005, 1),
            slot("10.1.0.2", Phase::Established, word::REVERSE, 940, 2),
        ]
    }

    fn listing(limit: u64, filter: Filter) -> Listing {
        Listing {
            parts: FlowRecords::of(&tables()),
            names: BTreeMap::from([(3, "acme-web".into())]),
            filter,
            limit,
            now: 1_000,
        }
    }

    /// The flows of the list, and how many there would be without its limit.
    fn list(listing: &Listing) -> (Vec<types::Flow>, u64) {
        let mut flows = Vec::new();
        let whole = listing.for_each(
            2,
            || slots().into_iter(),
            |flow| {
                flows.push(flow);
                ControlFlow::Continue(())
            },
        );
        assert!(whole.is_continue());
        (flows, listing.count(slots().into_iter()))
    }

    #[test]
    fn two_directions_are_one_flow() {
        let (flows, all) = list(&listing(9, Filter::default()));
        assert_eq!(all, 2);
        let [v4, v6] = flows.try_into().unwrap();
        let expected = types::Flow {
            endpoint: "acme-web".into(),
            protocol: "tcp".into(),
            client: "10.1.0.2:40000".into(),
            address: "10.1.0.50:80".into(),
            source: "[fd00::f3]:50000".into(),
            target: "[fd00::10]:8080".into(),
            state: "established".into(),
            packets: 5,
            bytes: 500,
            idle_seconds: 1,
        };
        assert_eq!(v4, expected);
        assert_eq!((v6.client.as_str(), v6.idle_seconds), ("[fd00:1::2]:40000", 0));
        assert_eq!(v6.address, "[fd00:1::50]:80");
        assert_eq!(by_target(slots().into_iter()), BTreeMap::from([((4, 8080), 2)]));
        let (first, all) = list(&listing(1, Filter::default()));
        assert_eq!((first.len(), all), (1, 2));
        assert_eq!(first[0].packets, 5, "both directions of the one that is shown");
        let none = Listing { names: BTreeMap::new(), ..listing(9, Filter::default()) };
        assert_eq!(list(&none).1, 0);
    }

    #[test]
    fn a_filter_picks_flows_by_any_end() {
        let ip = |text: &str| Some(text.parse().unwrap());
        for (filter, clients) in [
            (Filter { address: ip("10.1.0.2"), ..Filter::default() }, "10.1.0.2:40000"),
            (Filter { address: ip("fd00:1::50"), ..Filter::default() }, "[fd00:1::2]:40000"),
            (
                Filter { address: ip("fd00::10"), port: Some(8080), ..Filter::default() },
                "10.1.0.2:40000 [fd00:1::2]:40000",
            ),
            (Filter { port: Some(81), ..Filter::default() }, ""),
            (Filter { protocol: Some(UDP), ..Filter::default() }, ""),
            (Filter { state: Some(Phase::Opening), ..Filter::default() }, "[fd00:1::2]:40000"),
        ] {
            let (flows, all) = list(&listing(9, filter.clone()));
            let found: Vec<String> = flows.into_iter().map(|flow| flow.client).collect();
            assert_eq!((found.join(" "), found.len() as u64), (clients.into(), all), "{filter:?}");
        }
    }

    #[test]
    fn many_flows_are_listed_in_shares_and_each_once() {
        let count = 3_000;
        let slots = || {
            (0..count).flat_map(|number| {
                let forward = flow::Flow {
                    consumer_ports: number,
                    ..slot("10.1.0.2", Phase::Established, 0, 900, 1)
                };
                [forward, flow::Flow { word: forward.word | word::REVERSE, ..forward }]
            })
        };
        let listing = Listing {
            parts: FlowRecords::of(&tables()),
            names: BTreeMap::from([(3, "a".into())]),
            limit: u64::from(count) - 10,
            now: 1_000,
            ..Listing::default()
        };
        let mut seen = std::collections::BTreeSet::new();
        let whole = listing.for_each(3 * SHARE, slots, |flow| {
            assert_eq!(flow.packets, 2);
            assert!(seen.insert((flow.client, flow.address)));
            ControlFlow::Continue(())
        });
        assert!(whole.is_continue());
        assert_eq!(seen.len() as u64, listing.limit);
    }
}
