//! The library does with every fixture what the table says. No privilege.

use std::collections::BTreeSet;

use privatelink_tests::fixtures::{self, Fixture, Host, Interfaces, MAX_FLOWS, Sent, play};

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
fn names_are_unique() {
    let fixtures = fixtures::all();
    let names: BTreeSet<&str> = fixtures.iter().map(|fixture| fixture.name.as_str()).collect();
    assert_eq!(names.len(), fixtures.len());
}
