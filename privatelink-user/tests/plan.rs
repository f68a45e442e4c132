//! Plans between random contents of the maps, applied to memory one write at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use privatelink_common::{
    Addr, Admission, Endpoint, Limits, Listener, ListenerKey, Local, LocalKey, LocalKind, Pool,
    RuleKey, RuleNode, Service, Source, TCP, Target, TargetState, policy::limited,
};
use privatelink_user::datapath::{
    memory::MemoryMaps,
    op::{Change, Op},
    plan::Plan,
    store::MapStore,
    tables::MapTables,
    teardown,
};
use proptest::{
    collection::{btree_map, btree_set, vec},
    prelude::*,
};

proptest! {
    #[test]
    fn one_pass_converges_and_the_second_is_empty(actual in content(), desired in content()) {
        let mut store = MemoryMaps::holding(actual);
        let plan = Plan::between(&loaded(&store), &desired);
        plan.apply(&mut store).unwrap();
        prop_assert_eq!(store.tables(), &desired);
        prop_assert!(Plan::between(&loaded(&store), &desired).is_empty());
    }

    #[test]
    fn no_prefix_leaves_anything_dangling(actual in content(), desired in content()) {
        let mut store = MemoryMaps::holding(actual);
        for op in Plan::between(&loaded(&store), &desired).ops() {
            store.apply(op).unwrap();
            prop_assert_eq!(fault(store.tables()), None, "after {}", op);
        }
    }

    /// As the daemon does it: what goes is marked as gone first, and swept.
    #[test]
    fn a_teardown_on_the_way_converges_and_leaves_nothing_dangling(
        actual in content(),
        desired in content(),
    ) {
        let mut store = MemoryMaps::holding(actual);
        let between = teardown::between(&loaded(&store), &desired, &teardown::Marks::default());
        for content in between.iter().chain([&desired]) {
            for op in Plan::between(&loaded(&store), content).ops() {
                store.apply(op).unwrap();
                prop_assert_eq!(fault(store.tables()), None, "after {}", op);
            }
        }
        prop_assert_eq!(store.tables(), &desired);
        prop_assert_eq!(teardown::between(&loaded(&store), &desired, &teardown::Marks::default()), None);
    }

    #[test]
    fn a_failed_write_is_made_up_for(
        actual in content(),
        desired in content(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut store = MemoryMaps::holding(actual);
        let plan = Plan::between(&loaded(&store), &desired);
        prop_assume!(!plan.is_empty());
        store.fail_after(at.index(plan.len()));
        prop_assert!(plan.apply(&mut store).is_err());
        prop_assert_eq!(fault(store.tables()), None);
        store.recover();
        for op in Plan::between(&loaded(&store), &desired).ops() {
            store.apply(op).unwrap();
            prop_assert_eq!(fault(store.tables()), None, "after {}", op);
        }
        prop_assert_eq!(store.tables(), &desired);
    }
}

#[test]
fn everything_is_put_from_the_bottom_up_and_removed_from_the_top_down() {
    let content = example();
    let order = |plan: &Plan| plan.ops().iter().map(Op::map).collect::<Vec<_>>();
    let up = Plan::between(&MapTables::default(), &content);
    let down = Plan::between(&content, &MapTables::default());
    let expected = [
        "DEVICES",
        "SOURCES",
        "TARGETS",
        "SERVICES",
        "BACKENDS",
        "LISTENERS",
        "RULES",
        "LIMITS",
        "ENDPOINTS",
        "LOCALS",
        "ATTACHMENTS",
    ];
    assert_eq!(order(&up), expected);
    assert!(up.ops().iter().all(|op| !op.is_removal()));
    assert_eq!(order(&down).into_iter().rev().collect::<Vec<_>>(), expected);
    assert!(down.ops().iter().all(Op::is_removal));
}

#[test]
fn a_changed_value_is_replaced_in_place() {
    let (actual, mut desired) = (example(), example());
    desired.endpoints.get_mut(&3).unwrap().admission = Admission::Rejected as u32;
    let plan = Plan::between(&actual, &desired);
    assert_eq!(plan.ops(), [Op::Endpoint(Change::Put(3, desired.endpoints[&3]))]);
    assert_eq!(plan.ops()[0].to_string(), "put ENDPOINTS[3]");
}

#[test]
fn a_zero_in_an_array_is_no_entry() {
    let zero = MapTables {
        backends: BTreeMap::from([(5, 0)]),
        services: BTreeMap::from([(2, Service::default())]),
        ..MapTables::default()
    };
    assert!(Plan::between(&MapTables::default(), &zero).is_empty());
    assert!(Plan::between(&zero, &MapTables::default()).is_empty());
    let mut store = MemoryMaps::holding(MapTables {
        backends: BTreeMap::from([(5, 9)]),
        ..MapTables::default()
    });
    Plan::between(&loaded(&store), &zero).apply(&mut store).unwrap();
    assert_eq!(store.tables(), &MapTables::default());
}

#[test]
fn writes_are_named_as_an_operator_knows_them() {
    let plan = Plan::between(&example(), &MapTables::default());
    let text: Vec<_> = plan.ops().iter().map(Op::to_string).collect();
    assert!(text.contains(&"remove LISTENERS[1, 6/443]".to_owned()), "{text:?}");
    assert!(text.contains(&"remove LOCALS[0, 10.0.0.3]".to_owned()), "{text:?}");
}

/// One entry in each map.
fn example() -> MapTables {
    let mut content = MapTables::default();
    content.devices.insert(7, ());
    content.sources.insert(0, Source::at(address(9), 1));
    content.targets.insert(1, target(1));
    content.services.insert(1, service());
    content.backends.insert(0, 1);
    content.listeners.insert(listener_key(1, 443), listener(Pool { first: 0, count: 1 }, 5));
    add_endpoint(&mut content, 3, endpoint(1, 1));
    content.locals.insert(local_key(0, 3), local(LocalKind::Endpoint, 3));
    content.attachments.insert(7, 1);
    content
}

fn loaded(store: &MemoryMaps) -> MapTables {
    store.tables().clone()
}

/// Says what refers to nothing, or to what another service owns.
fn fault(content: &MapTables) -> Option<String> {
    for (key, local) in &content.locals {
        let known = if local.kind == LocalKind::Endpoint as u32 {
            content.endpoints.contains_key(&local.index)
        } else {
            content.sources.contains_key(&local.index)
        };
        if !known {
            return Some(format!("{key:?} refers to an absent {local:?}"));
        }
    }
    for (index, endpoint) in &content.endpoints {
        if !content.services.contains_key(&endpoint.service) {
            return Some(format!("endpoint {index} refers to an absent service"));
        }
        let key = RuleKey { set: endpoint.rules, number: 0 };
        if endpoint.rules != [0, 0] && !content.rules.contains_key(&key) {
            return Some(format!("endpoint {index} refers to absent rules"));
        }
        if endpoint.limits != 0 && !content.limits.contains_key(index) {
            return Some(format!("endpoint {index} lacks its limits"));
        }
    }
    for (key, listener) in &content.listeners {
        let pool = listener.backends_v4;
        for index in pool.first..pool.first + pool.count {
            match content.backends.get(&index) {
                None => return Some(format!("{key:?} refers to an absent backend")),
                Some(target) if owner(*target) != key.service => {
                    return Some(format!("{key:?} has the target {target} of another service"));
                }
                Some(_) => {}
            }
        }
    }
    let dangling =
        content.backends.iter().find(|(_, target)| !content.targets.contains_key(target));
    dangling.map(|(index, _)| format!("backend {index} refers to an absent target"))
}

/// How many services there are at most; each owns the targets whose index leaves its own as the
/// remainder.
const SERVICES: u32 = 4;

fn owner(target: u32) -> u32 {
    target % SERVICES
}

/// A consistent content of the maps, of few indices so that two of them overlap.
fn content() -> impl Strategy<Value = MapTables> {
    let below = (
        btree_map(0..6u32, any::<u8>(), 0..6),
        btree_map(1..16u32, any::<u8>(), 0..16),
        btree_set(0..SERVICES, 0..=SERVICES as usize),
    );
    let above = (
        btree_map((0..SERVICES, 1..4u16), (0..5u32, any::<u8>()), 0..8),
        btree_map(1..6u32, (0..SERVICES, any::<u8>()), 0..6),
        btree_map((0..3u32, any::<u8>()), (any::<bool>(), 0..6u32), 0..8),
        btree_map(1..9u32, 1..4u32, 0..6),
        btree_set(1..9u32, 0..6),
        vec(any::<prop::sample::Index>(), 8),
    );
    (below, above).prop_map(|((sources, targets, services), above)| {
        let (listeners, endpoints, locals, attachments, devices, order) = above;
        let mut content = MapTables {
            attachments,
            devices: devices.into_iter().map(|device| (device, ())).collect(),
            sources: sources
                .into_iter()
                .map(|(index, last)| (index, Source::at(address(last), 1)))
                .collect(),
            targets: targets.into_iter().map(|(index, last)| (index, target(last))).collect(),
            services: services.iter().map(|index| (*index, service())).collect(),
            ..MapTables::default()
        };
        add_listeners(&mut content, listeners, &order);
        add_endpoints(&mut content, endpoints, &services);
        for ((network, last), (is_endpoint, index)) in locals {
            let (kind, known) = if is_endpoint {
                (LocalKind::Endpoint, content.endpoints.contains_key(&index))
            } else {
                (LocalKind::Source, content.sources.contains_key(&index))
            };
            if known {
                content.locals.insert(local_key(network, last), local(kind, index));
            }
        }
        content
    })
}

/// Lays the listeners' pools out one after the other, in any order.
fn add_listeners(
    content: &mut MapTables,
    listeners: BTreeMap<(u32, u16), (u32, u8)>,
    order: &[prop::sample::Index],
) {
    let mut rest: Vec<_> = listeners.into_iter().collect();
    let mut first = 0;
    for pick in order {
        if rest.is_empty() {
            return;
        }
        let ((service, port), (count, ticks)) = rest.swap_remove(pick.index(rest.len()));
        let own = content.targets.keys().filter(|target| owner(**target) == service);
        let own: Vec<u32> = own.copied().collect();
        let count = if own.is_empty() { 0 } else { count };
        for (index, target) in (first..first + count).zip(own.iter().cycle()) {
            content.backends.insert(index, *target);
        }
        let pool = Pool { first, count };
        content.listeners.insert(listener_key(service, port), listener(pool, ticks));
        first += count;
    }
}

fn add_endpoints(
    content: &mut MapTables,
    endpoints: BTreeMap<u32, (u32, u8)>,
    services: &BTreeSet<u32>,
) {
    for (index, (service, mac)) in endpoints {
        if services.contains(&service) {
            add_endpoint(content, index, endpoint(service, mac));
        }
    }
}

fn address(last: u8) -> Addr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn target(last: u8) -> Target {
    Target { address: address(last), state: TargetState::Present as u32, ..Target::default() }
}

fn service() -> Service {
    Service { sources_v4: Pool { first: 0, count: 1 }, ..Service::default() }
}

fn listener_key(service: u32, port: u16) -> ListenerKey {
    ListenerKey { service, port: port.to_be(), protocol: TCP.into() }
}

fn listener(backends_v4: Pool, ticks: u8) -> Listener {
    Listener { backends_v4, idle_ticks: ticks.into(), ..Listener::default() }
}

fn endpoint(service: u32, mac: u8) -> Endpoint {
    let admission = Admission::Available as u32;
    Endpoint { service, admission, mtu: mac.into(), ..Endpoint::default() }
}

/// Puts an endpoint with what it refers to. Those with an odd number share rules.
fn add_endpoint(content: &mut MapTables, index: u32, mut endpoint: Endpoint) {
    let number = endpoint.mtu;
    if number % 2 == 1 {
        let answer = u32::from(number % 3);
        endpoint.rules = [answer, 1];
        let key = RuleKey { set: endpoint.rules, number: 0 };
        content.rules.insert(key, RuleNode { answers: [answer; 32], ..RuleNode::default() });
    }
    if number % 5 == 1 {
        endpoint.limits = limited::FLOWS;
        let flows = u32::from(number);
        content.limits.insert(index, Limits { flows, ..Limits::default() });
    }
    content.endpoints.insert(index, endpoint);
}

fn local_key(network: u32, last: u8) -> LocalKey {
    LocalKey { network, address: address(last) }
}

fn local(kind: LocalKind, index: u32) -> Local {
    Local { kind: kind as u32, index, ..Local::default() }
}
