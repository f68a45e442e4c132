//! Flows as people see them: both directions in one record, names instead of indices.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use privatelink_common::{
    Addr, TCP, TICK_SHIFT, UDP,
    flow::{self, Phase, word},
};

use crate::{
    api::{request::Flows, types},
    tables::Tables,
};

/// What identifies a flow in either of its slots.
type Key = (u32, u8, Addr, [u16; 2], u32, u16, [u16; 2]);

/// The two directions together.
struct Joined {
    flow: flow::Flow,
    phase: u32,
    packets: u64,
    bytes: u64,
    idle: u32,
}

/// Joins slots into flows, and counts those beyond `limit`. `name` tells an endpoint's name; those
/// without one are of endpoints that are gone, and are left out.
///
/// The slots are walked twice, so that only as many flows are held as are wanted.
pub fn join<I: Iterator<Item = flow::Flow>>(
    slots: impl Fn() -> I,
    limit: usize,
    tables: &Tables,
    now: u32,
    name: impl Fn(u32) -> Option<String>,
) -> Flows {
    let mut joined: BTreeMap<Key, Joined> = BTreeMap::new();
    let mut omitted = 0;
    for slot in slots().filter(|slot| !slot.is_reverse()) {
        let wanted =
            tables.endpoints.contains_key(&slot.endpoint()) && name(slot.endpoint()).is_some();
        if wanted && joined.len() < limit {
            add(&mut joined, slot, now);
        } else if wanted {
            omitted += 1;
        }
    }
    for slot in slots().filter(flow::Flow::is_reverse) {
        if joined.contains_key(&key(&slot)) {
            add(&mut joined, slot, now);
        }
    }
    let flows = joined.values().filter_map(|joined| record(joined, tables, &name)).collect();
    Flows { flows, omitted }
}

fn add(joined: &mut BTreeMap<Key, Joined>, slot: flow::Flow, now: u32) {
    let idle = now.wrapping_sub(slot.last_seen);
    // A packet that came after `now` was read.
    let idle = if idle > u32::MAX / 2 { 0 } else { idle };
    let entry = joined.entry(key(&slot)).or_insert(Joined {
        flow: slot,
        phase: 0,
        packets: 0,
        bytes: 0,
        idle,
    });
    entry.phase = entry.phase.max(slot.word & word::PHASE);
    entry.packets += u64::from(slot.packets);
    entry.bytes += slot.bytes;
    entry.idle = entry.idle.min(idle);
}

/// How many flows there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By endpoint index.
    pub endpoints: BTreeMap<u32, u64>,
    /// By target index and port.
    pub targets: BTreeMap<(u32, u16), u64>,
}

/// Counts flows.
pub fn count(slots: impl Iterator<Item = flow::Flow>) -> Counts {
    let mut counts = Counts::default();
    for slot in slots.filter(|slot| !slot.is_reverse()) {
        *counts.endpoints.entry(slot.endpoint()).or_default() += 1;
        let [port, _] = slot.provider_port_pair();
        *counts.targets.entry((slot.target(), port)).or_default() += 1;
    }
    counts
}

fn key(flow: &flow::Flow) -> Key {
    (
        flow.endpoint(),
        flow.protocol(),
        flow.client,
        flow.consumer_port_pair(),
        flow.target(),
        flow.source,
        flow.provider_port_pair(),
    )
}

fn record(
    joined: &Joined,
    tables: &Tables,
    name: &impl Fn(u32) -> Option<String>,
) -> Option<types::Flow> {
    let flow = &joined.flow;
    let endpoint = tables.endpoints.get(&flow.endpoint())?;
    let address = if flow.client.is_v4() {
        IpAddr::from(endpoint.v4.to_ne_bytes())
    } else {
        endpoint.v6.to_ip()
    };
    let [client_port, listener_port] = flow.consumer_port_pair();
    let [target_port, source_port] = flow.provider_port_pair();
    let target = tables.targets.get(&flow.target()).map(|target| target.address.to_ip());
    let source = tables.sources.get(&u32::from(flow.source)).map(|source| source.address.to_ip());
    Some(types::Flow {
        endpoint: name(flow.endpoint())?,
        protocol: match flow.protocol() {
            TCP => "tcp".into(),
            UDP => "udp".into(),
            other => other.to_string(),
        },
        client: at(Some(flow.client.to_ip()), client_port),
        address: at(Some(address), listener_port),
        source: at(source, source_port),
        target: at(target, target_port),
        state: Phase::of(joined.phase).name().into(),
        packets: joined.packets,
        bytes: joined.bytes,
        idle_seconds: (u64::from(joined.idle) << TICK_SHIFT) / 1_000_000_000,
    })
}

/// `IP:PORT`; the address is unknown once its record has been removed.
fn at(address: Option<IpAddr>, port: u16) -> String {
    address.map_or_else(|| format!("?:{port}"), |ip| SocketAddr::new(ip, port).to_string())
}

#[cfg(test)]
mod tests {
    use privatelink_common::{Endpoint, Source, Target};

    use super::*;

    fn ip(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn tables() -> Tables {
        let mut tables = Tables::default();
        let v4 = u32::from_ne_bytes([10, 1, 0, 50]);
        tables.endpoints.insert(3, Endpoint { v4, v6: ip("fd00:1::50"), ..Endpoint::default() });
        tables.targets.insert(4, Target { address: ip("fd00::10"), ..Target::default() });
        tables.sources.insert(5, Source::at(ip("fd00::f3")));
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

    #[test]
    fn two_directions_are_one_flow() {
        let slots = [
            slot("10.1.0.2", Phase::Answered, 0, 900, 3),
            slot("fd00:1::2", Phase::Opening, 0, 1_005, 1),
            slot("10.1.0.2", Phase::Established, word::REVERSE, 940, 2),
        ];
        let name = |index| (index == 3).then(|| "acme-web".to_owned());
        let joined = join(|| slots.into_iter(), 2, &tables(), 1_000, name);
        assert_eq!(joined.omitted, 0);
        let [v4, v6] = joined.flows.try_into().unwrap();
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
        // The order is that of the addresses' bytes, and a mapped one begins with zeros.
        assert_eq!(v4, expected);
        assert_eq!((v6.client.as_str(), v6.idle_seconds), ("[fd00:1::2]:40000", 0));
        assert_eq!(v6.address, "[fd00:1::50]:80");
        let counts = count(slots.into_iter());
        assert_eq!(counts.endpoints, BTreeMap::from([(3, 2)]));
        assert_eq!(counts.targets, BTreeMap::from([((4, 8080), 2)]));
        let first = join(|| slots.into_iter(), 1, &tables(), 1_000, name);
        assert_eq!((first.flows.len(), first.omitted), (1, 1));
        assert_eq!(first.flows[0].packets, 5, "both directions of the one that is shown");
        assert_eq!(join(|| slots.into_iter(), 9, &tables(), 0, |_| None).omitted, 0);
    }
}
