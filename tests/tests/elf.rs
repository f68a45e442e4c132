//! The BPF object inside the daemon has what the loader and the kernel look for. No privilege.

use std::collections::BTreeSet;

use privatelink_common::{Stage, maps};
use privatelink_user::datapath::bpf::BPF_OBJECT;

#[path = "../../xtask/src/elf.rs"]
mod elf;

fn shape() -> elf::Shape {
    elf::Shape::read(BPF_OBJECT).unwrap_or_else(|error| panic!("not an ELF object: {error:#}"))
}

#[test]
fn the_object_is_fit_for_the_kernel() {
    let faults = shape().faults();
    assert!(faults.is_empty(), "{}", faults.join("; "));
}

#[test]
fn the_programs_are_those_that_the_daemon_attaches() {
    let found: BTreeSet<(String, String)> = shape().programs.into_iter().collect();
    let stages = Stage::ALL.iter().map(|stage| ("xdp", stage.program()));
    let tc_stages = Stage::ALL.iter().map(|stage| ("classifier", stage.tc_program()));
    let others = [
        ("xdp", maps::PROGRAM),
        ("classifier", maps::TC_PROGRAM),
        ("classifier", maps::CLOCK_PROGRAM),
        ("classifier", maps::SWEEP_PROGRAM),
        ("classifier", maps::ADOPT_PROGRAM),
    ];
    let wanted = stages
        .chain(tc_stages)
        .chain(others)
        .map(|(kind, name)| (kind.to_owned(), name.to_owned()));
    assert_eq!(found, wanted.collect());
}

#[test]
fn the_maps_are_those_of_the_abi() {
    let found: BTreeSet<String> = shape().maps.into_iter().collect();
    let declared: BTreeSet<String> = maps::ALL.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(found, declared);
}

#[test]
fn the_object_starts_where_the_loader_can_read_it() {
    // An ELF header is read in place, so its 8-byte fields must be aligned.
    assert_eq!(BPF_OBJECT.as_ptr().addr() % 8, 0);
}
