//! The cost of the programs in the kernel's verifier, compared with `verifier-budget.toml`.
//! CAP_BPF.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use aya::{
    EbpfLoader,
    programs::{Program, SchedClassifier, Xdp},
};
use privatelink_common::{
    Stage,
    maps::{PROGRAM, TC_PROGRAM},
};
use privatelink_user::datapath::bpf::BPF_OBJECT;
use serde::Deserialize;

#[path = "verifier/frames.rs"]
mod frames;

/// Half of the kernel's limit.
const MOST_STACK: u32 = 256;
/// The kernel's limit for the frames of a chain of calls. Older kernels round frames up further,
/// and refuse programs that newer ones accept.
const MOST_CHAIN: u32 = 512;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    programs: BTreeMap<String, Cost>,
}

/// The figures of a program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    stack: u32,
    /// By kernel version, because verifiers differ.
    instructions: BTreeMap<String, u32>,
}

impl Cost {
    /// The budget for this kernel; for one that is not listed, the largest of any.
    fn instructions(&self, kernel: &str) -> u32 {
        let most = || self.instructions.values().copied().max();
        self.instructions.get(kernel).copied().or_else(most).unwrap_or_default()
    }
}

fn budget() -> Budget {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("verifier-budget.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_programs_stay_within_their_budget() {
    let budget = budget().programs;
    let stacks = frames::stacks(BPF_OBJECT);
    let kernel = kernel();
    let mut faults = Vec::new();
    for (name, instructions) in verified() {
        let frames::Stack { deepest: stack, function, chain, links } = &stacks[name];
        println!(
            "{name}: stack {stack} (in {function}; {chain} in a chain), instructions.{kernel:?} {instructions}"
        );
        let Some(allowed) = budget.get(name) else {
            faults.push(format!("{name} is not in the budget"));
            continue;
        };
        if *stack > MOST_STACK {
            faults.push(format!("{name}: {function} needs {stack} bytes of stack"));
        }
        if *chain > MOST_CHAIN {
            faults.push(format!("{name}: a chain of calls needs {chain} bytes of stack: {links}"));
        }
        for (what, is, was) in [
            ("bytes of stack", *stack, allowed.stack),
            ("instructions", instructions, allowed.instructions(&kernel)),
        ] {
            if is > was + was / 10 {
                faults.push(format!("{name}: {is} {what} instead of {was}"));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{}; if it is worth it, say so in tests/verifier-budget.toml",
        faults.join("; ")
    );
}

#[test]
fn the_budget_names_programs_that_exist() {
    let budget: Vec<String> = budget().programs.into_keys().collect();
    let programs: BTreeSet<&str> = programs().collect();
    assert!(budget.iter().map(String::as_str).eq(programs));
}

/// The running kernel's version, without its patch level.
fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.split(['.', '-']).take(2).collect::<Vec<_>>().join(".")
}

/// Loads the programs; returns how many instructions the verifier processed for each.
fn verified() -> Vec<(&'static str, u32)> {
    let mut ebpf = EbpfLoader::new().load(BPF_OBJECT).unwrap();
    let verified = programs().map(|name| {
        let program = ebpf.program_mut(name).unwrap();
        if matches!(program, Program::Xdp(_)) {
            <&mut Xdp>::try_from(program).unwrap().load().unwrap();
        } else {
            <&mut SchedClassifier>::try_from(program).unwrap().load().unwrap();
        }
        let info = ebpf.program(name).unwrap().info().unwrap();
        (name, info.verified_instruction_count().unwrap())
    });
    verified.collect()
}

/// The programs that carry packets.
fn programs() -> impl Iterator<Item = &'static str> {
    let stages = Stage::ALL.iter().flat_map(|stage| [stage.program(), stage.tc_program()]);
    [PROGRAM, TC_PROGRAM].into_iter().chain(stages)
}
