//! What the maps are filled with.

use std::{collections::BTreeMap, net::Ipv6Addr};

use privatelink_common::{
    Endpoint, Limits, Listener, ListenerKey, Local, LocalKey, Pool, RuleKey, RuleNode, Service,
    Share, Source, Target, maps,
};
use privatelink_user::datapath::tables::MapTables;
use proptest::{
    collection::{btree_map, btree_set},
    prelude::*,
};

/// A little of everything that a test looks for.
pub fn example() -> MapTables {
    let mut content = MapTables::default();
    content.targets.insert(3, Target { state: 1, ..Target::default() });
    content.backends.insert(maps::MAX_BACKENDS - 1, 3);
    content.attachments.insert(2, 1);
    content.endpoints.insert(0, Endpoint { admission: 1, ..Endpoint::default() });
    content
}

/// Any content that the maps can hold, zero values included; the devices are interfaces.
pub fn content(devices: Vec<u32>) -> impl Strategy<Value = MapTables> {
    let arrays = (
        btree_map(0..maps::MAX_IFINDEX, any::<u32>(), 0..20),
        btree_map(0..maps::MAX_ENDPOINTS, 0..3u32, 0..20),
        btree_map(0..maps::MAX_SERVICES, 0..3u32, 0..20),
        btree_map(0..maps::MAX_BACKENDS, 0..3u32, 0..200),
        btree_map(0..maps::MAX_TARGETS, 0..3u32, 0..20),
        btree_map(0..maps::MAX_SOURCES, 0..3u128, 0..20),
    );
    let sparse = (
        btree_map((any::<u32>(), 0..3u16), any::<u32>(), 0..200),
        btree_map((0..3u32, 0..50u128), any::<u32>(), 0..200),
        btree_set(proptest::sample::select(devices), 0..=3),
        btree_map((0..3u32, 0..50u32), any::<u32>(), 0..200),
        btree_map(0..maps::MAX_ENDPOINTS, 0..3u32, 0..20),
        btree_map(0..maps::MAX_ENDPOINTS, 0..3u32, 0..20),
    );
    (arrays, sparse).prop_map(|(arrays, sparse)| {
        let (attachments, endpoints, services, backends, targets, sources) = arrays;
        let (listeners, locals, devices, rules, limits, shares) = sparse;
        let pool = |count| Pool { first: 0, count };
        MapTables {
            attachments,
            tagged: BTreeMap::new(),
            networks: BTreeMap::new(),
            senders: BTreeMap::new(),
            locals: locals
                .into_iter()
                .map(|((network, address), index)| {
                    let address = Ipv6Addr::from_bits(address).into();
                    (LocalKey { network, address }, Local { index, ..Local::default() })
                })
                .collect(),
            endpoints: mapped(endpoints, |service| Endpoint { service, ..Endpoint::default() }),
            rules: rules
                .into_iter()
                .map(|((set, number), answer)| (RuleKey { set: [set, 7], number }, answer))
                .map(|(key, answer)| {
                    (key, RuleNode { answers: [answer; 32], ..RuleNode::default() })
                })
                .collect(),
            limits: mapped(limits, |flows| Limits { flows, ..Limits::default() }),
            shares: mapped(shares, |flows| Share { flows, ..Share::default() }),
            services: mapped(services, |n| Service { sources_v4: pool(n), ..Service::default() }),
            listeners: listeners
                .into_iter()
                .map(|((service, port), idle_ticks)| {
                    let key = ListenerKey { service, port, protocol: 6 };
                    (key, Listener { idle_ticks, ..Listener::default() })
                })
                .collect(),
            backends,
            targets: mapped(targets, |state| Target { state, ..Target::default() }),
            sources: mapped(sources, |n| Source::at(Ipv6Addr::from_bits(n).into(), 1)),
            devices: devices.into_iter().map(|device| (device, ())).collect(),
        }
    })
}

fn mapped<V, W>(table: BTreeMap<u32, V>, into: impl Fn(V) -> W) -> BTreeMap<u32, W> {
    table.into_iter().map(|(index, value)| (index, into(value))).collect()
}
