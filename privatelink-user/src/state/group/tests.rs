//! What needs no etcd: how changes are put into transactions, and read from keys.

use std::collections::BTreeSet;

use super::{
    chunks::divide,
    known::Known,
    layout::{Layout, Place},
    merge,
};
use crate::{
    config,
    etcd::{Entry, Event, Guard, Write},
    host::HostFacts,
    model::Name,
    state::{Beside, Change, MemoryStore, State, Store as _, targets::Inputs},
    timestamp::Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn layout() -> Layout {
    Layout::new(&"east".parse().unwrap())
}

fn state(endpoints: usize) -> State {
    let mut state = State::default();
    follow(&mut state, endpoints, &Beside::none());
    state
}

fn follow(state: &mut State, endpoints: usize, beside: &Beside) {
    let parts = include_str!("../../desired/tests.toml");
    let mut text = parts.replace("addresses = [\"10.1.0.50\"]", "addresses = \"auto\"");
    for number in 0..endpoints {
        text += &format!(
            "[[endpoint]]\nname = \"e{number}\"\nservice = \"web\"\nnetwork = \"acme\"\n\
             addresses = \"auto\"\n"
        );
    }
    let model = config::from_text("t.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}")).model;
    state.follow_beside(&model, &HostFacts::default(), &Inputs::default(), NOW, beside).unwrap();
}

/// What a gateway writes, as entries that another one reads.
fn written(state: &State) -> Vec<Entry> {
    let (chunks, _) =
        divide(State::default().changes_to(state), &layout(), &Default::default()).unwrap();
    let keys = chunks.into_iter().flat_map(|chunk| chunk.keys);
    let entries = (1..).zip(keys).map(|(revision, (key, value))| Entry {
        key,
        value: value.unwrap(),
        revision,
        lease: 0,
    });
    entries.collect()
}

#[test]
fn what_one_gateway_writes_another_reads() {
    let first = state(3);
    let second = merge::whole(&layout(), &written(&first), &State::default());
    assert_eq!(second.connections, first.connections);
    assert_eq!(second.addresses.leases, first.addresses.leases);
    assert_eq!(second.drains, State::default().drains, "drains are each gateway's own");
    let mut followed = second.clone();
    follow(&mut followed, 3, &Beside::none());
    let (chunks, own) = divide(second.changes_to(&followed), &layout(), &second.addresses).unwrap();
    assert!(chunks.is_empty(), "nothing is left for it to decide: {chunks:?}");
    assert!(!own.is_empty(), "it has indices of targets of its own");
}

#[test]
fn chunks_are_small_and_what_refers_comes_after_what_it_refers_to() {
    let many = state(150);
    let changes = State::default().changes_to(&many);
    let (chunks, _) = divide(changes, &layout(), &Default::default()).unwrap();
    assert!(chunks.len() > 2);
    let layout = layout();
    let mut seen = BTreeSet::new();
    for chunk in &chunks {
        let transaction = chunk.transaction(&layout, &Known::default());
        assert!(transaction.guards.len() <= 128 && transaction.writes.len() <= 128);
        for write in &transaction.writes {
            let (Write::Put { key, .. } | Write::Delete { key }) = write;
            if let Some(Place::Connection(name)) = layout.place(key)
                && let Some(lease) = many.addresses.leases.get(&name)
            {
                let address = lease.addresses().next().unwrap();
                let address = Place::Address(lease.network.clone(), address);
                assert!(seen.contains(&layout.key(&address)), "{name}");
            }
            seen.insert(key.clone());
        }
    }
}

#[test]
fn a_decision_does_not_wait_for_the_structure_and_a_removal_does() {
    let state = state(1);
    let (name, connection) = state.connections.first_key_value().unwrap();
    let of = |connection| {
        let changes = vec![Change::Connection(name.clone(), connection)];
        let (chunks, _) = divide(changes, &layout(), &state.addresses).unwrap();
        chunks[0].transaction(&layout(), &Known::default()).guards
    };
    let own = Guard::Absent(layout().key(&Place::Connection(name.clone())));
    let structure = Guard::Absent(layout().key(&Place::Structure));
    assert_eq!(of(Some(Box::new(connection.clone()))), std::slice::from_ref(&own));
    assert_eq!(of(None), [own, structure]);
}

#[test]
fn an_address_that_moves_within_one_batch_has_one_holder() {
    let mut store = MemoryStore::default();
    store.commit(State::default().changes_to(&state(2))).unwrap();
    let state = store.state().clone();
    let lease = |name: &str| state.addresses.leases[&name.parse::<Name>().unwrap()].clone();
    let (one, two) = (lease("e0"), lease("e1"));
    let key = |address| layout().key(&Place::Address(one.network.clone(), address));
    let put = |address, endpoint: &str| {
        let value = format!("{{\"endpoint\":\"{endpoint}\"}}").into();
        Event::Put(Entry { key: key(address), value, revision: 9, lease: 0 })
    };
    let (a, b) = (one.addresses().next().unwrap(), two.addresses().next().unwrap());
    let events = [put(a, "e1"), put(b, "e0")];
    let changes = merge::changes(&layout(), &events, &state);
    store.commit(changes).unwrap();
    let lease = |name: &str| store.state().addresses.leases[&name.parse::<Name>().unwrap()].clone();
    assert_eq!(
        (lease("e0").addresses().next(), lease("e1").addresses().next()),
        (Some(b), Some(a))
    );
}

#[test]
fn what_others_serve_is_kept_beside_another_configuration() {
    let all = state(3);
    let mut fewer = all.clone();
    follow(&mut fewer, 1, &Beside::others(BTreeSet::from(["e2".parse().unwrap()])));
    let names: Vec<&str> = fewer.connections.keys().map(|name| name.as_str()).collect();
    assert!(names.contains(&"e1") && !names.contains(&"e2"), "{names:?}");
    assert_eq!(fewer.addresses.leases.len(), all.addresses.leases.len() - 1);
    // Its address is not given to another one meanwhile.
    let mut more = fewer.clone();
    follow(&mut more, 1, &Beside::none());
    assert!(!more.connections.contains_key("e1"));
}

#[test]
fn a_rejection_that_the_group_does_not_know_outranks_what_it_has() {
    use crate::state::connection::{Acceptance, Standing};
    let mut own = state(1);
    let entries = written(&own);
    let name = "e0".parse().unwrap();
    own.connections.get_mut("e0").unwrap().standing =
        Standing::Rejected { by_rule: false, drain: None };
    own.apply(Change::Unpushed(name, true));
    let merged = merge::whole(&layout(), &entries, &own);
    assert_eq!(merged.connections["e0"].standing.acceptance(), Acceptance::Rejected);
    assert!(merged.unpushed.contains("e0"));
    let event = |entry: &&Entry| entry.key.ends_with("connection/e0");
    let events: Vec<Event> = entries.iter().filter(event).cloned().map(Event::Put).collect();
    assert_eq!(merge::changes(&layout(), &events, &own), []);
}
