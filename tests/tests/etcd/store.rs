//! The state that gateways share: what each gets of the others, and what happens without etcd.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use privatelink_tests::lab::{Etcd, wait_until};
use privatelink_user::{
    config,
    etcd::Client,
    host::HostFacts,
    model::{Model, Name},
    state::{
        Change, Error, Journal, State, Store as _,
        connection::{Acceptance, Author, Decision, rules_of},
        group::{GroupStore, Hello, Membership},
        objects::{Kind, Object, ObjectName, Objects},
        targets::Inputs,
    },
    timestamp::Timestamp,
};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
const NOW: Timestamp = Timestamp::from_millis(1_000);

/// What every gateway of the group has in its files.
const FILES: &str = r#"
[gateway]
name = "gw"
[[network]]
name = "acme"
principal = "acme"
interface = "veth-acme"
subnets = ["10.1.0.0/16"]
gateway = ["10.1.0.1"]
[[network]]
name = "vendor"
principal = "vendor"
interface = "veth-vendor"
subnets = ["10.0.0.0/16"]
gateway = ["10.0.0.1"]
[[service]]
name = "web"
principal = "vendor"
network = "vendor"
source_addresses = ["10.0.0.240/29"]
acceptance = "manual"
allow = ["acme"]
[[service.listener]]
protocol = "tcp"
port = 80
[[service.target]]
address = "10.0.0.10"
"#;

fn model(objects: &Objects) -> Model {
    let files = [("gw.toml".into(), FILES.to_owned())];
    let loaded = config::files_of(files).with_objects(objects, &BTreeSet::new()).load();
    loaded.unwrap_or_else(|faults| panic!("{}", faults.render(false))).model
}

fn endpoint(name: &str) -> (ObjectName, Arc<Object>) {
    let content = json!({ "name": name, "service": "web", "network": "acme", "addresses": "auto" });
    let content = content.as_object().unwrap().clone();
    let object = Object { authority: None, by: Author::Rule, at: NOW, content };
    (ObjectName { kind: Kind::Endpoint, name: name.parse().unwrap() }, Arc::new(object))
}

fn open(etcd: &Etcd, folder: &Path, name: &str) -> Result<GroupStore, Error> {
    let endpoints = etcd.endpoints().iter().map(|one| one.parse().unwrap()).collect();
    let membership = Membership { group: "east".parse().unwrap(), name: name.parse().unwrap() };
    let journal = Journal::open(&folder.join(name)).unwrap();
    GroupStore::open(journal, Client::new(endpoints, None), membership)
}

/// Makes endpoints through the API of a gateway; returns how often another one was faster.
fn make(store: &mut GroupStore, names: &[String]) -> usize {
    change(store, |state| {
        state.objects.extend(names.iter().map(|name| endpoint(name)));
    })
}

/// Changes objects, and what follows from them, until nobody else was faster.
fn change(store: &mut GroupStore, write: impl Fn(&mut State)) -> usize {
    for conflicts in 0..1_000 {
        let mut next = store.state().clone();
        write(&mut next);
        let model = model(&next.objects);
        next.follow(&model, &HostFacts::default(), &Inputs::default(), NOW).unwrap();
        let changes = store.state().changes_to(&next);
        match store.commit(changes) {
            Ok(()) => return conflicts,
            Err(Error::Conflict) => drop(store.take_in().unwrap()),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("another gateway was always faster");
}

fn decided(store: &GroupStore, endpoint: &str, decision: Decision) -> Change {
    let state = store.state();
    let (model, name) = (model(&state.objects), endpoint.parse::<Name>().unwrap());
    let (_, rules) = rules_of(&model, &model.endpoints()[&name]).unwrap();
    let mut connection = state.connections[&name].clone();
    let by = Author::User { uid: 7, name: None };
    connection.decide(decision, by, "test".into(), &rules, NOW).unwrap();
    Change::Connection(name, Some(Box::new(connection)))
}

fn standing(store: &GroupStore, endpoint: &str) -> Acceptance {
    store.state().connections[&endpoint.parse::<Name>().unwrap()].standing.acceptance()
}

fn wait_for(store: &mut GroupStore, what: &str, mut holds: impl FnMut(&GroupStore) -> bool) {
    wait_until(SOON, what, || {
        store.take_in().unwrap();
        holds(store)
    })
    .unwrap();
}

const ACCEPT: Decision = Decision::Accept { period: None };

#[test]
fn three_gateways_give_out_no_address_or_index_twice() {
    const EACH: usize = 350;
    const TOGETHER: usize = 10;
    let (etcd, folder) = (Etcd::start(3).unwrap(), tempfile::tempdir().unwrap());
    let begun = Instant::now();
    let conflicts: usize = thread::scope(|scope| {
        let gateways = ["a", "b", "c"].map(|gateway| {
            let (etcd, folder) = (&etcd, folder.path());
            scope.spawn(move || {
                let mut store = open(etcd, folder, gateway).unwrap();
                let names: Vec<String> = (0..EACH).map(|n| format!("{gateway}{n}")).collect();
                names.chunks(TOGETHER).map(|names| make(&mut store, names)).sum::<usize>()
            })
        });
        gateways.into_iter().map(|gateway| gateway.join().unwrap()).sum()
    });
    println!("{} endpoints in {:?}, {conflicts} conflicts", 3 * EACH, begun.elapsed());
    assert!(conflicts > 0, "they were concurrent");
    let mut states = Vec::new();
    for gateway in ["a", "b", "c"] {
        let mut store = open(&etcd, folder.path(), gateway).unwrap();
        wait_for(&mut store, "all endpoints", |it| it.state().objects.len() == 3 * EACH);
        let state = store.state().clone();
        let addresses: BTreeSet<IpAddr> =
            state.addresses.leases.values().flat_map(|lease| lease.addresses()).collect();
        assert_eq!((state.addresses.leases.len(), addresses.len()), (3 * EACH, 3 * EACH));
        let model = model(&state.objects);
        let indices: BTreeSet<u32> =
            model.endpoints().values().map(|one| state.ids.endpoint(one).unwrap()).collect();
        assert_eq!(indices.len(), 3 * EACH);
        let named: BTreeMap<Name, u32> = model
            .endpoints()
            .values()
            .map(|one| (one.name.clone(), state.ids.endpoint(one).unwrap()))
            .collect();
        states.push((state.addresses.leases, named, state.connections));
    }
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "each has what the others have");
}

#[test]
fn a_decision_arrives_everywhere_and_of_two_at_once_one_counts() {
    let (etcd, folder) = (Etcd::start(1).unwrap(), tempfile::tempdir().unwrap());
    let mut a = open(&etcd, folder.path(), "a").unwrap();
    let mut b = open(&etcd, folder.path(), "b").unwrap();
    make(&mut a, &["one".into(), "two".into()]);
    wait_for(&mut b, "the endpoints", |it| it.state().connections.len() == 2);
    assert_eq!(standing(&b, "one"), Acceptance::Pending);

    let accepted = decided(&a, "one", ACCEPT);
    let rejected = decided(&b, "one", Decision::Reject);
    a.commit(vec![accepted]).unwrap();
    let error = b.commit(vec![rejected]).unwrap_err();
    assert!(matches!(error, Error::Conflict), "{error}");
    let taken = b.take_in().unwrap();
    assert_eq!(standing(&b, "one"), Acceptance::Available);
    assert_eq!((taken.before.len(), taken.after.len(), taken.objects), (1, 1, false));
    let rejected = decided(&b, "one", Decision::Reject);
    b.commit(vec![rejected]).unwrap();
    assert_eq!(b.take_in().unwrap().after.len(), 0, "its own change is no news");
    wait_for(&mut a, "the rejection", |it| standing(it, "one") == Acceptance::Rejected);

    // What is deleted on one gateway while another decides about it stays deleted.
    let late = decided(&b, "two", ACCEPT);
    change(&mut a, |state| drop(state.objects.remove(&endpoint("two").0)));
    assert!(matches!(b.commit(vec![late]), Err(Error::Conflict)));
    b.take_in().unwrap();
    assert!(!b.state().connections.contains_key(&"two".parse::<Name>().unwrap()));
    assert_eq!(b.state().addresses.leases.len(), 1);
    assert_eq!(a.revision(), b.revision());
}

#[test]
fn without_etcd_a_gateway_starts_rejects_and_tells_the_group_later() {
    let (mut etcd, folder) = (Etcd::start(1).unwrap(), tempfile::tempdir().unwrap());
    let mut a = open(&etcd, folder.path(), "a").unwrap();
    make(&mut a, &["one".into(), "two".into()]);
    for name in ["one", "two"] {
        let accepted = decided(&a, name, ACCEPT);
        a.commit(vec![accepted]).unwrap();
    }
    etcd.kill(0);
    let error = a.commit(vec![decided(&a, "one", Decision::Reject)]).unwrap_err();
    assert!(matches!(error, Error::Unreachable(_) | Error::Uncertain(_)), "{error}");
    drop(a);

    let before = Instant::now();
    let mut a = open(&etcd, folder.path(), "a").unwrap();
    println!("opened from the local copy after {:?}", before.elapsed());
    assert!(a.down().is_some() && a.age().is_none());
    assert_eq!(standing(&a, "one"), Acceptance::Available);
    let error = a.commit(vec![decided(&a, "one", ACCEPT)]).unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    a.commit_here(vec![decided(&a, "one", Decision::Reject)]).unwrap();
    assert_eq!(standing(&a, "one"), Acceptance::Rejected);
    drop(a);
    // One that has never been in the group knows nothing that it could start from.
    let error = open(&etcd, folder.path(), "new").unwrap_err();
    assert!(matches!(error, Error::NeverReached(_)), "{error}");

    etcd.run(0).unwrap();
    let mut b = open(&etcd, folder.path(), "b").unwrap();
    wait_for(&mut b, "the connections", |it| it.state().connections.len() == 2);
    let mut a = open(&etcd, folder.path(), "a").unwrap();
    wait_for(&mut a, "etcd", |it| it.down().is_none() && it.state().unpushed.is_empty());
    assert_eq!(standing(&a, "one"), Acceptance::Rejected, "reject wins");
    wait_for(&mut b, "the rejection", |it| standing(it, "one") == Acceptance::Rejected);
    assert_eq!(standing(&b, "two"), Acceptance::Available);
}

#[test]
fn a_gateway_that_was_away_catches_up_after_a_compaction() {
    let (etcd, folder) = (Etcd::start(1).unwrap(), tempfile::tempdir().unwrap());
    let mut a = open(&etcd, folder.path(), "a").unwrap();
    let b = open(&etcd, folder.path(), "b").unwrap();
    drop(b);
    make(&mut a, &["one".into(), "two".into()]);
    change(&mut a, |state| drop(state.objects.remove(&endpoint("one").0)));
    etcd.ctl(&["compact", &a.revision().to_string()]).unwrap();
    let mut b = open(&etcd, folder.path(), "b").unwrap();
    wait_for(&mut b, "all", |it| it.state().objects.len() == 1);
    assert_eq!(b.state().addresses.leases, a.state().addresses.leases);
    assert_eq!(b.revision(), a.revision());
}

#[test]
fn gateways_see_each_other_and_how_far_each_has_come() {
    let (etcd, folder) = (Etcd::start(1).unwrap(), tempfile::tempdir().unwrap());
    let mut a = open(&etcd, folder.path(), "a").unwrap();
    let mut b = open(&etcd, folder.path(), "b").unwrap();
    let hello = |configuration: &str| Hello {
        version: "1".into(),
        configuration: configuration.into(),
        since: NOW,
    };
    a.announce(hello("x"));
    b.announce(hello("x"));
    let both = a.fellows();
    wait_for(&mut a, "both", |_| both.borrow().len() == 2);
    assert!(!a.differs());
    make(&mut a, &["one".into()]);
    wait_for(&mut b, "the endpoint", |it| it.state().objects.len() == 1);
    b.applied()();
    let revision = a.revision();
    wait_for(&mut a, "b has applied it", |_| {
        both.borrow()[&"b".parse::<Name>().unwrap()].applied == revision
    });
    assert_eq!(a.revision(), revision, "who has applied what changes nothing of the state");
    b.announce(hello("y"));
    wait_for(&mut a, "the other configuration", GroupStore::differs);
    drop(b);
    wait_for(&mut a, "b has ended", |_| both.borrow().len() == 1);
}

#[test]
fn how_long_commits_and_watches_take() {
    let (etcd, folder) = (Etcd::start(3).unwrap(), tempfile::tempdir().unwrap());
    let mut a = open(&etcd, folder.path(), "a").unwrap();
    let mut b = open(&etcd, folder.path(), "b").unwrap();
    make(&mut a, &["one".into()]);
    wait_for(&mut b, "the endpoint", |it| it.state().connections.len() == 1);
    let (mut commits, mut arrivals) = (Vec::new(), Vec::new());
    for number in 0..200 {
        let decision = if number % 2 == 0 { ACCEPT } else { Decision::Reject };
        let change = decided(&a, "one", decision);
        let begun = Instant::now();
        a.commit(vec![change]).unwrap();
        commits.push(begun.elapsed());
        while standing(&b, "one") != standing(&a, "one") {
            assert!(begun.elapsed() < SOON);
            b.take_in().unwrap();
            thread::yield_now();
        }
        arrivals.push(begun.elapsed());
    }
    for (what, mut times) in [("committed", commits), ("kept by another", arrivals)] {
        times.sort();
        println!("{what}: p50 {:?}, p99 {:?}", times[100], times[197]);
    }
}

#[test]
fn of_two_that_begin_a_group_at_once_one_brings_its_state() {
    let (etcd, folder) = (Etcd::start(1).unwrap(), tempfile::tempdir().unwrap());
    for gateway in ["a", "b"] {
        let mut journal = Journal::open(&folder.path().join(gateway)).unwrap();
        let mut state = State::default();
        state.objects.extend([endpoint(&format!("of-{gateway}"))]);
        let model = model(&state.objects);
        state.follow(&model, &HostFacts::default(), &Inputs::default(), NOW).unwrap();
        journal.commit(State::default().changes_to(&state)).unwrap();
    }
    let mut stores: Vec<GroupStore> = thread::scope(|scope| {
        let begin = |gateway| {
            let (etcd, folder) = (&etcd, folder.path());
            scope.spawn(move || open(etcd, folder, gateway).unwrap())
        };
        let both = [begin("a"), begin("b")];
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let [a, b] = stores.as_mut_slice() else { panic!("two gateways") };
    let same = |a: &GroupStore, b: &GroupStore| {
        let (a, b) = (a.state(), b.state());
        (&a.objects, &a.addresses.leases) == (&b.objects, &b.addresses.leases)
    };
    wait_until(SOON, "both have the same", || {
        a.take_in().unwrap();
        b.take_in().unwrap();
        same(a, b)
    })
    .unwrap();
    assert_eq!(a.state().objects.len(), 1, "the other one's are dropped");
    make(b, &["later".into()]);
    wait_for(a, "what comes later", |it| it.state().objects.len() == 2);
}
