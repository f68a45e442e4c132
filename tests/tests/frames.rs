//! The library handles every fixture as the table says. No privilege.

use std::collections::{BTreeMap, BTreeSet};

use privatelink_tests::fixtures::spread::{deviation, pool, spread, talks};
use privatelink_tests::fixtures::{
    self, Family, Fixture, Gateway as _, Host, Interfaces, MAX_FLOWS, Sent, Tagged, World, play,
};

const INTERFACES: Interfaces = Interfaces([11, 12, 13, 14]);

fn played(fixture: &Fixture) -> anyhow::Result<Vec<Sent>> {
    play(fixture, &INTERFACES, &mut Host::new(MAX_FLOWS))
}

#[test]
fn every_fixture_goes_as_the_table_says() {
    let fixtures = fixtures::all();
    let failures: Vec<String> = fixtures
        .iter()
        .filter_map(|fixture| played(fixture).err())
        .map(|error| format!("{error:#}"))
        .collect();
    let (failed, all) = (failures.len(), fixtures.len());
    assert!(failures.is_empty(), "{failed} of {all} fixtures:\n{}", failures.join("\n\n"));
}

/// The same clients before and after one of the targets becomes unhealthy: few of the clients of
/// other targets reach another one.
#[test]
fn removing_a_target_moves_few_flows_of_the_others() {
    const FLOWS: u32 = 100_000;
    const TARGETS: usize = 10;
    let weights = [100; TARGETS];
    let opened = |ill| {
        let mut world = World::new(&INTERFACES);
        world.share(Family::V4, &pool(&weights, ill).unwrap());
        let mut host = Host::new(FLOWS * 2);
        host.load(&world.tables).unwrap();
        let counts = spread(&mut host, &INTERFACES, talks(Family::V4, FLOWS)).unwrap();
        let flows = host.flows().into_iter().filter(|flow| !flow.is_reverse());
        let whose: BTreeMap<_, u32> =
            flows.map(|flow| ((flow.client.to_ip(), flow.consumer_ports), flow.target())).collect();
        (counts, whose)
    };
    let (counts, before) = opened(None);
    let off = deviation(&weights, &counts);
    println!("{TARGETS} targets: {off:.1} thousandths off");
    assert!(off < 30.0, "{counts:?}");
    let (counts, after) = opened(Some(3));
    assert_eq!(counts.get(&3), None);
    let left: BTreeSet<u32> = after.values().copied().collect();
    let others: Vec<_> = before.iter().filter(|(_, target)| left.contains(target)).collect();
    let moved = others.iter().filter(|(client, target)| after[client] != **target).count();
    println!("{moved} of {} flows of the others moved", others.len());
    assert!(moved * 100 < others.len() * 6, "{moved} of {}", others.len());
}

/// A table of another size places flows elsewhere; what they are stays the same.
#[test]
fn flows_go_on_in_a_table_of_another_size() {
    const FLOWS: u32 = 2_000;
    let sorted = |host: &Host| {
        let mut all: Vec<_> = host.flows().iter().map(|flow| format!("{flow:?}")).collect();
        all.sort();
        all
    };
    for family in [Family::V4, Family::V6] {
        let mut world = World::new(&INTERFACES);
        world.share(family, &pool(&[100, 100], None).unwrap());
        let host_of = |max_flows| {
            let mut host = Host::new(max_flows);
            host.load(&world.tables).unwrap();
            host
        };
        let mut host = host_of(FLOWS * 2);
        spread(&mut host, &INTERFACES, talks(family, FLOWS)).unwrap();
        let flows = host.flows();
        assert_eq!(flows.len(), 2 * FLOWS as usize);
        for max_flows in [FLOWS * 40, FLOWS + FLOWS / 2] {
            let mut other = host_of(max_flows);
            // The second time as after a daemon has died in between.
            for _ in 0..2 {
                assert!(flows.iter().all(|flow| other.adopt(flow)));
                assert_eq!(sorted(&other), sorted(&host));
            }
            // Their packets find them.
            spread(&mut other, &INTERFACES, talks(family, FLOWS)).unwrap();
            assert_eq!(other.flows().len(), flows.len());
        }
        let mut small = host_of(FLOWS / 10);
        let left_out = flows.iter().filter(|flow| !small.adopt(flow)).count();
        assert_eq!(small.flows().len() + left_out, flows.len());
    }
}

#[test]
fn every_fixture_goes_the_same_way_through_vlans() {
    let mut failures = Vec::new();
    for ports in Tagged::<Host>::choices() {
        for fixture in fixtures::all() {
            let mut gateway = Tagged::new(Host::new(MAX_FLOWS), &INTERFACES, ports);
            if let Err(error) = play(&fixture, &INTERFACES, &mut gateway) {
                failures.push(format!("{ports:?}: {error:#}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn names_are_unique() {
    let fixtures = fixtures::all();
    let names: BTreeSet<&str> = fixtures.iter().map(|fixture| fixture.name.as_str()).collect();
    assert_eq!(names.len(), fixtures.len());
}
