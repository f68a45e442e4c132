mod shares;

use std::collections::BTreeMap;

use privatelink_common::{Addr, host as host_access};
use proptest::prelude::*;

use super::*;
use crate::{config, host::Neighbour};

const PARTS: &str = include_str!("tests.toml");

fn model(text: &str) -> Model {
    config::from_text("test.toml", text).unwrap_or_else(|wrong| panic!("{wrong}")).model
}

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn state(model: &Model) -> State {
    let mut state = State::default();
    state.follow(model, &host(), &Inputs::default(), NOW).unwrap();
    state
}

fn link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.into(),
        mac: Some([2, 0, 0, 0, 0, index.to_be_bytes()[3]]),
        mtu: 1500,
        up: true,
        allmulti: false,
        tag: None,
    }
}

fn host() -> HostFacts {
    let mut facts = HostFacts::default();
    facts.insert_link(link(11, "veth-acme"));
    facts.insert_link(link(12, "veth-globex"));
    facts.insert_link(link(13, "veth-vendor"));
    let neighbour = Neighbour { mac: [6; 6], fixed: false };
    facts.insert_neighbour(13, ip("10.0.0.10"), neighbour);
    facts
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn compute_from(model: &Model, state: &State, facts: &HostFacts) -> MapTables {
    let mut pools = Pools::default();
    let full = pools.arrange(model, &state.ids, &state.inputs, &MapTables::default());
    assert!(full.is_empty(), "{full:?}");
    desired(model, state, facts, &state.inputs, &pools, NOW)
}

fn compute(text: &str, facts: &HostFacts) -> MapTables {
    let model = model(text);
    compute_from(&model, &state(&model), facts)
}

fn endpoint_of(tables: &MapTables, network: u32, address: &str) -> Endpoint {
    let key = LocalKey { network, address: Addr::from(ip(address)) };
    let local = tables.locals[&key];
    assert_eq!(local.kind, LocalKind::Endpoint as u32);
    tables.endpoints[&local.index]
}

/// Fails unless every index that a record names exists.
fn nothing_dangles(tables: &MapTables) {
    let within = |table: &BTreeMap<u32, _>, pool: Pool| {
        (pool.first..pool.first + pool.count).all(|index| table.contains_key(&index))
    };
    for service in tables.services.values() {
        for pool in [service.sources_v4, service.sources_v6] {
            assert!((pool.first..pool.first + pool.count).all(|i| tables.sources.contains_key(&i)));
        }
    }
    for (key, listener) in &tables.listeners {
        assert!(tables.services.contains_key(&key.service));
        assert!(within(&tables.backends, listener.backends_v4));
        assert!(within(&tables.backends, listener.backends_v6));
    }
    for target in tables.backends.values() {
        assert!(tables.targets.contains_key(target));
    }
    for (key, local) in &tables.locals {
        assert!(tables.attachments.values().any(|network| *network == key.network + 1));
        if local.kind == LocalKind::Endpoint as u32 {
            assert_eq!(tables.endpoints[&local.index].network, key.network);
        } else if local.kind == LocalKind::Source as u32 {
            assert_eq!(tables.sources[&local.index].address, key.address);
        }
    }
    for endpoint in tables.endpoints.values() {
        assert!(tables.services.contains_key(&endpoint.service));
        assert_eq!(tables.attachments[&endpoint.ifindex], endpoint.network + 1);
    }
    for target in tables.targets.values() {
        assert_eq!(tables.attachments[&target.ifindex], target.network + 1);
    }
    assert!(tables.attachments.keys().eq(tables.devices.keys()));
}

#[test]
fn a_network_says_what_the_host_takes_and_of_whom() {
    let text = include_str!("../../../examples/quickstart.toml");
    let mut facts = host();
    for own in ["10.1.0.1", "fe80::1"] {
        facts.insert_own_address(11, ip(own));
    }
    let tables = compute(text, &facts);
    let acme = tables.attachments[&11] - 1;
    assert_eq!(tables.networks[&acme], host_access::NAMES);
    assert_eq!(tables.networks[&(tables.attachments[&13] - 1)], 0);
    let own = |address: &str| {
        let key = LocalKey { network: acme, address: ip(address).into() };
        tables.locals.get(&key).map(|local| (local.kind, local.mac))
    };
    let mac = [2, 0, 0, 0, 0, 11];
    for address in ["10.1.0.1", "fe80::1"] {
        assert_eq!(own(address), Some((LocalKind::Host as u32, mac)));
    }
    for of_no_host in ["10.1.0.0", "10.1.255.255", "fd00:1::"] {
        assert_eq!(own(of_no_host), Some((LocalKind::Broadcast as u32, [0; 6])), "{of_no_host}");
    }
    assert_eq!(own("fd00:1::ffff:ffff:ffff:ffff"), None);
    assert_eq!(own("10.1.0.50"), Some((LocalKind::Endpoint as u32, mac)));
    let sends = |network, address: &str| {
        tables.senders.keys().any(|prefix| prefix.covers(network, ip(address).into()))
    };
    for address in ["10.1.0.9", "fd00:1::9", "fe80::9"] {
        assert!(sends(acme, address), "{address}");
    }
    for address in ["10.0.0.10", "fd00::10", "8.8.8.8", "2001:db8::1"] {
        assert!(!sends(acme, address), "{address}");
    }
    assert!(!sends(acme + 100, "10.1.0.9"));

    let interface = "interface = \"veth-acme\"";
    let open = format!("{interface}\nhost = \"all\"");
    let tables = compute(&text.replace(interface, &open), &facts);
    assert_eq!(tables.networks[&acme], host_access::ALL | host_access::NAMES);
}

/// One of the service's source addresses may be one of the host's, too.
#[test]
fn a_source_address_stands_before_the_hosts_own() {
    let mut facts = host();
    facts.insert_own_address(13, ip("10.0.0.240"));
    let tables = compute(include_str!("../../../examples/quickstart.toml"), &facts);
    let network = tables.attachments[&13] - 1;
    let key = LocalKey { network, address: ip("10.0.0.240").into() };
    assert_eq!(tables.locals[&key].kind, LocalKind::Source as u32);
}

#[test]
fn the_quickstart_becomes_records() {
    let tables = compute(include_str!("../../../examples/quickstart.toml"), &host());
    nothing_dangles(&tables);
    assert_eq!(tables.attachments.keys().copied().collect::<Vec<_>>(), [11, 13]);
    let acme = tables.attachments[&11] - 1;
    let endpoint = endpoint_of(&tables, acme, "fd00:1::50");
    assert_eq!(endpoint.v4.to_ne_bytes(), [10, 1, 0, 50]);
    assert_eq!(endpoint.admission, Admission::Available as u32);
    assert_eq!((endpoint.ifindex, endpoint.mtu, endpoint.mac), (11, 1500, [2, 0, 0, 0, 0, 11]));
    let service = tables.services[&endpoint.service];
    assert_eq!((service.sources_v4.count, service.sources_v6.count), (8, 8));
    let key = ListenerKey { service: endpoint.service, port: 80u16.to_be(), protocol: TCP.into() };
    let listener = tables.listeners[&key];
    assert_eq!(u16::from_be(listener.target_port), 8080);
    assert_eq!(listener.idle_ticks, ticks_from_millis(350_000));
    let target = tables.targets[&tables.backends[&listener.backends_v4.first]];
    assert_eq!((target.address, target.hop), (ip("10.0.0.10").into(), [6; 6]));
    let unresolved = tables.targets[&tables.backends[&listener.backends_v6.first]];
    assert_eq!((unresolved.address, unresolved.hop), (ip("fd00::10").into(), [0; 6]));
}

#[test]
fn packets_are_counted_only_where_they_are_limited() {
    for (limits, admission) in [
        ("flows = 5", Admission::Available),
        ("packets_per_second = 5", Admission::Metered),
        ("flows = 5, bits_per_second = 5", Admission::Metered),
    ] {
        let text = include_str!("../../../examples/quickstart.toml");
        let text = text.replace("[[endpoint]]", &format!("[[endpoint]]\nlimits = {{ {limits} }}"));
        let tables = compute(&text, &host());
        let acme = tables.attachments[&11] - 1;
        assert_eq!(
            endpoint_of(&tables, acme, "fd00:1::50").admission,
            admission as u32,
            "{limits}"
        );
    }
}

/// The vendor's network is a VLAN, and the host knows its neighbours by the VLAN interface.
#[test]
fn a_vlan_is_found_by_its_tag_and_its_neighbours_by_its_interface() {
    let text = include_str!("../../../examples/quickstart.toml");
    let text =
        text.replace(r#"interface = "veth-vendor""#, "interface = \"veth-vendor\"\nvlan = 101");
    let mut facts = host();
    let target = |facts: &HostFacts| {
        let tables = compute(&text, facts);
        assert_eq!(tables.attachments[&13], TAGGED_ONLY + 1);
        let network = tables.tagged[&TagKey { ifindex: 13, vlan: 101 }];
        let address = ip("10.0.0.10").into();
        let target = *tables.targets.values().find(|target| target.address == address).unwrap();
        assert_eq!((target.network, target.ifindex, target.vlan), (network, 13, 101));
        assert_eq!((target.mtu, target.tagged_mtu), (0, 1500));
        assert!(
            tables.endpoints.values().all(|endpoint| (endpoint.vlan, endpoint.mtu) == (0, 1500))
        );
        target
    };
    assert_eq!(target(&facts).hop, [0; 6], "who is beside the tagged network is not in it");
    let parent = facts.link("veth-vendor").unwrap().clone();
    let name = "veth-vendor.101".to_owned();
    facts.insert_link(Link { index: 99, name, tag: Some((13, 101)), ..parent });
    facts.insert_neighbour(99, ip("10.0.0.10"), Neighbour { mac: [9; 6], fixed: false });
    assert_eq!(target(&facts).hop, [9; 6]);
}

#[test]
fn who_may_connect_is_admitted() {
    for (rules, expected) in [
        (r#"acceptance = "automatic"; allow = ["acme"]"#, Admission::Available),
        (r#"acceptance = "automatic"; allow = ["*"]"#, Admission::Available),
        (r#"acceptance = "automatic"; allow = ["globex"]"#, Admission::Rejected),
        (r#"acceptance = "manual"; allow = ["acme"]"#, Admission::Pending),
        (r#"acceptance = "manual"; allow = ["acme"]; accept = ["acme"]"#, Admission::Available),
    ] {
        let text = PARTS.replace("# rules", &rules.replace(';', "\n"));
        let tables = compute(&text, &host());
        let endpoint = endpoint_of(&tables, tables.attachments[&11] - 1, "10.1.0.50");
        assert_eq!(endpoint.admission, expected as u32, "{rules}");
    }
}

#[test]
fn a_refusal_is_as_declared_for_the_state() {
    for (rules, expected) in [
        (r#"allow = ["acme"]; on_pending = "drop"; on_reject = "reset""#, Refusal::Drop),
        (r#"allow = ["acme"]; on_pending = "reset"; on_reject = "drop""#, Refusal::Reset),
        (r#"allow = ["globex"]; on_pending = "drop"; on_reject = "reset""#, Refusal::Reset),
        (r#"allow = ["globex"]; on_pending = "reset"; on_reject = "drop""#, Refusal::Drop),
    ] {
        let text = PARTS.replace("# rules", &rules.replace(';', "\n"));
        let tables = compute(&text, &host());
        let endpoint = endpoint_of(&tables, tables.attachments[&11] - 1, "10.1.0.50");
        assert_eq!(endpoint.refusal, expected as u32, "{rules}");
    }
}

#[test]
fn a_target_beyond_the_subnets_is_reached_through_the_router() {
    let text = PARTS
        .replace("# router", r#"gateway = "10.0.0.1""#)
        .replace(r#"address = "10.0.0.10""#, r#"address = "192.0.2.9""#);
    let model = model(&text);
    let mut facts = host();
    assert!(
        next_hops(&model, &state(&model), &facts, &Inputs::default(), NOW)
            .contains(&(13, ip("10.0.0.1")))
    );
    facts.insert_neighbour(13, ip("10.0.0.1"), Neighbour { mac: [8; 6], fixed: false });
    let tables = compute_from(&model, &state(&model), &facts);
    let target = tables.targets.values().find(|t| t.address == ip("192.0.2.9").into()).unwrap();
    assert_eq!(target.hop, [8; 6]);
}

#[test]
fn an_interface_that_is_missing_takes_only_its_own_out() {
    let mut facts = HostFacts::default();
    facts.insert_link(link(11, "veth-acme"));
    let tables = compute(include_str!("../../../examples/quickstart.toml"), &facts);
    nothing_dangles(&tables);
    assert_eq!((tables.endpoints.len(), tables.targets.len()), (1, 0));
    let tables = compute(include_str!("../../../examples/quickstart.toml"), &HostFacts::default());
    nothing_dangles(&tables);
    assert_eq!((tables.endpoints.len(), tables.attachments.len()), (0, 0));
}

#[test]
fn a_range_of_ports_is_a_listener_each() {
    let text = PARTS.replace("port = 80", "ports = \"9092-9099\"\ntarget_port = \"19092-19099\"");
    let tables = compute(&text, &host());
    let ports = tables.listeners.iter().filter(|(key, _)| key.protocol == u16::from(TCP));
    let ports: Vec<_> =
        ports.map(|(key, l)| (u16::from_be(key.port), u16::from_be(l.target_port))).collect();
    assert_eq!(ports, (0..8).map(|n| (9092 + n, 19092 + n)).collect::<Vec<_>>());
}

/// One thing that an operator may have changed.
fn variant() -> impl Strategy<Value = String> {
    let word = |words: &'static [&'static str]| proptest::sample::select(words);
    (
        word(&["100", "1", "0", "7"]),
        word(&["10.0.0.10", "10.0.0.11", "fd00::10"]),
        word(&["10.0.0.240/29", "10.0.0.248/30", "10.0.0.244"]),
        word(&["acme-web", "other"]),
        word(&[r#"allow = ["acme"]"#, "allow = []\non_reject = \"drop\""]),
    )
        .prop_map(|(weight, target, source, endpoint, rules)| {
            // An address of the gateway's choice is as good as one that is written.
            let addresses = if endpoint == "other" { "\"auto\"" } else { "[\"10.1.0.50\"]" };
            PARTS
                .replace("[\"10.1.0.50\"]", addresses)
                .replace("weight = 100", &format!("weight = {weight}"))
                .replace(r#"address = "10.0.0.10""#, &format!("address = \"{target}\""))
                .replace("10.0.0.240/29", source)
                .replace("acme-web", endpoint)
                .replace("# rules", rules)
        })
}

proptest! {
    #[test]
    fn every_history_is_consistent_and_keeps_indices(texts in prop::collection::vec(variant(), 1..6)) {
        let mut state = State::default();
        for text in texts {
            let model = model(&text);
            let before = state.clone();
            state.follow(&model, &host(), &Inputs::default(), NOW).unwrap();
            let tables = compute_from(&model, &state, &host());
            nothing_dangles(&tables);
            for endpoint in model.endpoints().values() {
                let index = before.ids.endpoint(endpoint);
                prop_assert!(index.is_none() || index == state.ids.endpoint(endpoint));
            }
            let mut again = state.clone();
            again.follow(&model, &host(), &Inputs::default(), NOW).unwrap();
            prop_assert_eq!(&again, &state);
            prop_assert_eq!(compute_from(&model, &again, &host()), tables);
        }
    }
}

#[test]
fn ten_thousand_endpoints_are_computed_quickly() {
    let mut text = PARTS.replace("# rules", r#"allow = ["*"]"#);
    for service in 0..1_000u32 {
        text += &format!(
            "\n[[service]]\nname = \"s{service}\"\nprincipal = \"vendor\"\nnetwork = \"vendor\"\n\
             acceptance = \"automatic\"\nallow = [\"*\"]\n\
             source_addresses = [\"10.0.{}.{}/29\"]\n\
             [[service.listener]]\nprotocol = \"tcp\"\nport = 80\n\
             [[service.target]]\naddress = \"10.0.200.{}\"\n",
            service / 30 + 1,
            service % 30 * 8,
            service % 250 + 1,
        );
    }
    for endpoint in 0..10_000u32 {
        text += &format!(
            "\n[[endpoint]]\nname = \"e{endpoint}\"\nservice = \"s{}\"\nnetwork = \"acme\"\n\
             addresses = [\"10.1.{}.{}\"]\n",
            endpoint % 1_000,
            endpoint / 250 + 1,
            endpoint % 250 + 1,
        );
    }
    let model = model(&text);
    let start = std::time::Instant::now();
    let mut state = state(&model);
    let tables = compute_from(&model, &state, &host());
    let first = start.elapsed();
    nothing_dangles(&tables);
    let start = std::time::Instant::now();
    state.follow(&model, &host(), &Inputs::default(), NOW).unwrap();
    assert_eq!(compute_from(&model, &state, &host()), tables);
    // Minutes, if anything is quadratic; this is far more than an unoptimised build needs.
    let again = start.elapsed();
    eprintln!("first {first:?}, again {again:?}");
    assert!(again.as_secs() < 5 && first.as_secs() < 5, "{first:?}, then {again:?}");
}
