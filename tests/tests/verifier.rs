//! What the programs cost the kernel's verifier, against `verifier-budget.toml`. CAP_BPF.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::collections::BTreeMap;
use std::path::Path;

use aya::EbpfLoader;
use aya::programs::Xdp;
use privatelink_common::maps::{PROGRAM, SLOW_PROGRAM};
use privatelink_user::BPF_OBJECT;
use serde::Deserialize;

#[path = "verifier/frames.rs"]
mod frames;

/// Half of what the kernel allows.
const MOST_STACK: u32 = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    programs: BTreeMap<String, Cost>,
}

/// The two figures of a program.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    stack: u32,
    instructions: u32,
}

fn budget() -> Budget {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("verifier-budget.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_programs_stay_within_their_budget() {
    let budget = budget().programs;
    let stacks = frames::deepest(BPF_OBJECT);
    let mut faults = Vec::new();
    for (name, instructions) in verified() {
        let (function, stack) = &stacks[name];
        println!(
            "[programs.{name}]\nstack = {stack} # in {function}\ninstructions = {instructions}"
        );
        let Some(allowed) = budget.get(name) else {
            faults.push(format!("{name} is not in the budget"));
            continue;
        };
        if *stack > MOST_STACK {
            faults.push(format!("{name}: {function} needs {stack} bytes of stack"));
        }
        for (what, is, was) in [
            ("bytes of stack", *stack, allowed.stack),
            ("instructions", instructions, allowed.instructions),
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
    assert_eq!(budget, [PROGRAM, SLOW_PROGRAM]);
}

/// Loads the programs; returns how many instructions the verifier processed for each.
fn verified() -> [(&'static str, u32); 2] {
    let mut ebpf = EbpfLoader::new().load(BPF_OBJECT).unwrap();
    [PROGRAM, SLOW_PROGRAM].map(|name| {
        let program: &mut Xdp = ebpf.program_mut(name).unwrap().try_into().unwrap();
        program.load().unwrap();
        (name, program.info().unwrap().verified_instruction_count().unwrap())
    })
}
