//! An endpoint that is looked at by itself ends up as one that is looked at with everything else.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Step,
    equivalence::{follow, host, maps},
    tests::{World, content, name, operator, service},
};
use crate::{
    config,
    datapath::{plan::Plan, tables::MapTables},
    desired::desired_of_added,
    model::{Model, Name},
    state::{
        State,
        objects::{Kind, Objects},
    },
    timestamp::Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// Names are served in both consumers' networks, one service has a name of its own, and one
/// principal has a quota.
fn files() -> String {
    let files = World::new().files;
    let serve = |network: &str| (format!("interface = \"veth-{network}\""), network.to_owned());
    let files = ["acme", "globex"].into_iter().map(serve).fold(files, |files, (line, _)| {
        files.replace(&line, &format!("{line}\ndns = true\ndns_accept = [\"shop.example\"]"))
    });
    let named = "source_addresses = [\"10.0.0.240/29\", \"fd00::f0/125\"]";
    let files = files.replace(named, &format!("{named}\nprivate_dns = [\"shop.example\"]"));
    format!("{files}\n[[principal]]\nname = \"globex\"\nquota = {{ endpoints = 4 }}\n")
}

/// What a gateway has.
#[derive(Debug, PartialEq)]
struct Outcome {
    model: Model,
    state: State,
    maps: MapTables,
}

impl Outcome {
    fn of(model: &Model, mut state: State, objects: &Objects) -> Self {
        state.objects.clone_from(objects);
        follow(&mut state, model);
        Self { maps: maps(model, &state), model: model.clone(), state }
    }

    /// After the addition of some objects, if they can be looked at by themselves.
    fn adding(&self, objects: &Objects) -> Option<Self> {
        let addition = config::addition(&self.model, objects, &|_| None)?;
        let endpoints = addition.endpoints;
        let mut added = self.state.adding(&self.model, &endpoints, &host(), NOW)?;
        added.part.objects.clone_from(objects);
        let mut model = self.model.clone();
        let names: Vec<Name> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
        model.add(endpoints);
        let tables = desired_of_added(&model, &added.part, &host(), &names, NOW)?;
        let (mut state, mut maps) = (self.state.clone(), self.maps.clone());
        let nothing = State { ids: state.ids.clone(), ..State::default() };
        nothing.changes_to(&added.part).into_iter().for_each(|one| state.apply(one));
        let plan = Plan::adding(&maps, &tables);
        maps.extend(tables);
        let all = Plan::between(&self.maps, &maps);
        assert_eq!(plan, all, "nothing is removed");
        Some(Self { model, state, maps })
    }
}

/// Writes endpoints both ways; returns whether they could be looked at by themselves.
fn write_both_ways(world: &mut World, state: &mut State, steps: Vec<Step>) -> bool {
    let before = Outcome::of(&world.loaded.model, state.clone(), &world.objects);
    let known = world.objects.clone();
    let Ok(writing) = world.write(&operator(), steps) else { return false };
    let mut objects = writing.objects;
    objects.retain(|name, _| !known.contains_key(name));
    let after = Outcome::of(&world.loaded.model, before.state.clone(), &world.objects);
    state.clone_from(&after.state);
    let alone = before.adding(&objects);
    if let Some(alone) = &alone {
        assert_eq!(alone.model, after.model);
        assert_eq!(alone.state, after.state);
        assert_eq!(alone.maps, after.maps);
    }
    alone.is_some()
}

fn put(number: u8, keys: Value) -> Step {
    Step::Put(name(Kind::Endpoint, &format!("e{number}")), content(keys))
}

/// What is refused together with everything else is never taken alone.
fn is_taken_alone(world: &World, state: &State, keys: &Value) -> bool {
    let mut other = World::of(&world.files);
    other.objects.clone_from(&world.objects);
    other.reload(&world.files).unwrap();
    let before = Outcome::of(&other.loaded.model, state.clone(), &other.objects);
    let writing =
        other.try_write(&operator(), vec![put(99, keys.clone())], &Default::default()).unwrap();
    let mut objects = writing.objects;
    objects.retain(|name, _| !other.objects.contains_key(name));
    before.adding(&objects).is_some()
}

fn endpoint() -> impl Strategy<Value = Value> {
    let addresses = prop_oneof![
        2 => Just(json!("auto")),
        1 => (45..55u8).prop_map(|last| json!([format!("10.1.0.{last}")])),
        1 => (40..60u8).prop_map(|last| json!([format!("10.1.0.{last}"), format!("fd00:1::{last}")])),
    ];
    let service = prop_oneof![Just("web"), Just("mail"), Just("s0")];
    let network = prop_oneof![Just("acme"), Just("globex"), Just("vendor")];
    let rules = prop_oneof![
        Just(Value::Null),
        Just(json!([{ "from": "10.1.0.0/24", "ports": [80] }])),
        Just(json!([{ "from": "0.0.0.0/0" }, { "from": "fd00:1::/64", "protocol": "udp" }])),
    ];
    let limits = prop_oneof![
        2 => Just(Value::Null),
        1 => Just(json!({ "packets_per_second": 1000 })),
        1 => Just(json!({ "flows": 10 })),
    ];
    let rest = (any::<bool>(), 1..4u16);
    (service, network, addresses, rules, limits, rest).prop_map(
        |(service, network, addresses, allow, limits, (private_dns, weight))| {
            json!({
                "service": service, "network": network, "addresses": addresses, "allow": allow,
                "limits": limits, "private_dns": private_dns, "weight": weight,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn alone_or_together_is_the_same(
        steps in prop::collection::vec((0..12u8, any::<bool>(), endpoint()), 1..20),
    ) {
        let (mut world, mut state) = (World::of(&files()), State::default());
        world.write(&operator(), vec![Step::Put(name(Kind::Service, "s0"), service(9))]).unwrap();
        for (number, is_removed, keys) in steps {
            let object = name(Kind::Endpoint, &format!("e{number}"));
            if is_removed && world.objects.contains_key(&object) {
                world.write(&operator(), vec![Step::Delete(object)]).unwrap();
                state = Outcome::of(&world.loaded.model, state, &world.objects).state;
            } else if !world.objects.contains_key(&object) {
                write_both_ways(&mut world, &mut state, vec![put(number, keys)]);
            }
        }
    }
}

#[test]
fn what_surely_fits_is_looked_at_by_itself() {
    let (mut world, mut state) = (World::of(&files()), State::default());
    for (number, keys) in [
        (1, json!({ "service": "mail", "network": "acme" })),
        (2, json!({ "service": "web", "network": "globex", "addresses": ["10.1.0.9"] })),
        (3, json!({ "service": "mail", "network": "globex", "weight": 3 })),
        (4, json!({ "service": "web", "network": "vendor", "limits": { "bits_per_second": 900 } })),
    ] {
        assert!(write_both_ways(&mut world, &mut state, vec![put(number, keys)]), "{number}");
    }
    let both = ["acme", "globex"].map(|network| json!({ "service": "mail", "network": network }));
    let [one, other] = both;
    assert!(write_both_ways(&mut world, &mut state, vec![put(5, one), put(6, other)]));
}

#[test]
fn what_may_be_refused_or_move_another_is_looked_at_with_everything() {
    let (mut world, mut state) = (World::of(&files()), State::default());
    let auto = json!({ "service": "mail", "network": "acme" });
    assert!(write_both_ways(&mut world, &mut state, vec![put(1, auto.clone())]));
    let leased = state.addresses.leases["e1"].v4.unwrap();
    assert!(is_taken_alone(&world, &state, &auto));
    let of = |keys: Value| {
        let mut all = auto.as_object().cloned().unwrap();
        all.extend(keys.as_object().cloned().unwrap());
        Value::Object(all)
    };
    let cases: BTreeMap<&str, Value> = [
        ("the address of another endpoint", of(json!({ "addresses": ["10.1.0.50"] }))),
        ("an address that another was given", of(json!({ "addresses": [leased] }))),
        (
            "a source address",
            json!({ "service": "web", "network": "vendor", "addresses": ["10.0.0.241"] }),
        ),
        (
            "the address of a target",
            json!({ "service": "web", "network": "vendor", "addresses": ["10.0.0.20"] }),
        ),
        ("an address elsewhere", of(json!({ "addresses": ["10.9.0.1"] }))),
        ("a name that leads elsewhere", json!({ "service": "web", "network": "acme" })),
        ("no such service", of(json!({ "service": "wob" }))),
        ("no such network", of(json!({ "network": "amce" }))),
        ("a key that there is not", of(json!({ "colour": "red" }))),
        ("a limit that counts with others", of(json!({ "limits": { "flows": 5 } }))),
    ]
    .into();
    for (what, keys) in cases {
        assert!(!is_taken_alone(&world, &state, &keys), "{what}");
    }
}

#[test]
fn a_quota_is_looked_at_with_everything_once_it_is_reached() {
    let (mut world, mut state) = (World::of(&files()), State::default());
    let globex = json!({ "service": "mail", "network": "globex" });
    for number in 1..=3 {
        assert!(write_both_ways(&mut world, &mut state, vec![put(number, globex.clone())]));
    }
    assert!(!is_taken_alone(&world, &state, &globex), "there are four");
}
