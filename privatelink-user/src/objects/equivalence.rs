//! Whatever was written by whom, in which order: the maps are those of the same content in one file.

use proptest::prelude::*;
use serde_json::json;

use super::{
    Step,
    tests::{World, content, name, operator, service},
};
use crate::{
    config,
    datapath::tables::MapTables,
    desired::{Pools, desired},
    host::{HostFacts, Link},
    model::Model,
    state::{State, objects::Kind},
    timestamp::Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// Something that happens to a gateway.
#[derive(Clone, Debug)]
enum Event {
    /// The API writes.
    Write(Vec<Step>),
    /// The operator reloads files that declare these services besides, and these endpoints.
    Reload(Vec<u8>, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let endpoint = |number: u8, to: u8, address: u8| {
        let keys = json!({
            "service": format!("s{to}"),
            "network": if number.is_multiple_of(2) { "acme" } else { "globex" },
            "addresses": [format!("10.1.9.{address}")],
        });
        Step::Put(name(Kind::Endpoint, &format!("e{number}")), content(keys))
    };
    let target = |number: u8, address: u8| {
        let service = format!("s{number}").parse().unwrap();
        Step::Register(service, format!("10.0.0.{}", 30 + address), content(json!({ "weight": 9 })))
    };
    prop_oneof![
        (0..4u8, 1..3u16).prop_map(|(number, port)| {
            Step::Put(name(Kind::Service, &format!("s{number}")), service(port))
        }),
        (0..6u8, 0..4u8, 1..9u8).prop_map(move |(number, to, at)| endpoint(number, to, at)),
        (0..4u8).prop_map(|number| Step::Delete(name(Kind::Service, &format!("s{number}")))),
        (0..6u8).prop_map(|number| Step::Delete(name(Kind::Endpoint, &format!("e{number}")))),
        (0..4u8, 0..5u8).prop_map(move |(number, address)| target(number, address)),
        (0..4u8, 0..5u8).prop_map(|(number, address)| {
            Step::Deregister(
                format!("s{number}").parse().unwrap(),
                format!("10.0.0.{}", 30 + address),
            )
        }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let few = || prop::collection::vec(0..6u8, 0..2);
    prop_oneof![
        4 => prop::collection::vec(step(), 1..4).prop_map(Event::Write),
        1 => (few(), few()).prop_map(|(services, endpoints)| Event::Reload(services, endpoints)),
    ]
}

/// Files that declare objects whose names the API uses as well.
fn files(base: &str, services: &[u8], endpoints: &[u8]) -> String {
    let mut text = base.to_owned();
    for number in services {
        text += &format!(
            "[[service]]\nname = \"s{number}\"\nprincipal = \"vendor\"\nnetwork = \"vendor\"\n\
             allow = [\"*\"]\nsource_addresses = [\"10.0.0.248/30\"]\n\
             listener = [{{ protocol = \"udp\", port = 5 }}]\n\
             target = [{{ address = \"10.0.0.40\" }}]\n"
        );
    }
    for number in endpoints {
        text += &format!(
            "[[endpoint]]\nname = \"e{number}\"\nservice = \"s{number}\"\nnetwork = \"acme\"\n"
        );
    }
    text
}

pub(super) fn host() -> HostFacts {
    let mut facts = HostFacts::default();
    for (index, name) in [(11, "veth-acme"), (12, "veth-globex"), (13, "veth-vendor")] {
        facts.insert_link(Link {
            index,
            name: name.into(),
            mac: Some([2; 6]),
            mtu: 1500,
            up: true,
            allmulti: false,
            tag: None,
        });
    }
    facts
}

pub(super) fn follow(state: &mut State, model: &Model) {
    let inputs = state.inputs.clone();
    state.follow(model, &host(), &inputs, NOW).unwrap();
}

pub(super) fn maps(model: &Model, state: &State) -> MapTables {
    let mut pools = Pools::default();
    pools.arrange(model, &state.ids, &state.inputs, &MapTables::default());
    desired(model, state, &host(), &state.inputs, &pools, NOW)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn files_and_writes_in_any_order_are_one_file(events in prop::collection::vec(event(), 1..25)) {
        let mut world = World::new();
        let base = world.files.clone();
        let mut state = State::default();
        follow(&mut state, &world.loaded.model);
        for event in events {
            // What is refused has not happened.
            let (before, objects) = (world.loaded.model.clone(), world.objects.clone());
            let done = match event {
                Event::Write(steps) => world.write(&operator(), steps).map(drop),
                Event::Reload(services, endpoints) => {
                    world.reload(&files(&base, &services, &endpoints))
                }
            };
            if done.is_err() {
                prop_assert_eq!((&world.loaded.model, &world.objects), (&before, &objects));
            }
            follow(&mut state, &world.loaded.model);
        }
        let text = format!("{}\n{}", world.files, world.exported());
        let one = config::from_text("one.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
        prop_assert_eq!(&one.model, &world.loaded.model);
        let mut same = state.clone();
        follow(&mut same, &one.model);
        prop_assert_eq!(maps(&one.model, &same), maps(&world.loaded.model, &state));
        // And those of a gateway that never knew anything else, but for its indices.
        let (mut fresh, mut other) = (State::default(), State::default());
        follow(&mut fresh, &one.model);
        follow(&mut other, &world.loaded.model);
        prop_assert_eq!(maps(&one.model, &fresh), maps(&world.loaded.model, &other));
    }
}
