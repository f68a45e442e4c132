//! The library does with every fixture what the table says. No privilege.

use std::collections::BTreeSet;

use privatelink_tests::fixtures::{self, Fixture, Host, Interfaces, MAX_FLOWS, Sent, Tagged, play};

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
