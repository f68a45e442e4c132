//! The named inputs of the fuzzers, and the fixtures as they are.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::path::Path;

use anyhow::Result;

#[test]
fn named_scripts_play() {
    play("packets", privatelink_fuzz::packets);
}

#[test]
fn named_configurations_are_read() {
    play("configuration", privatelink_fuzz::configuration);
}

#[test]
fn named_queries_are_answered() {
    play("queries", privatelink_fuzz::queries);
}

#[test]
fn named_messages_of_the_https_process_are_read() {
    play("messages", privatelink_fuzz::messages);
}

fn play(name: &str, target: fn(&[u8]) -> Result<()>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        target(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|fault| panic!("{}: {fault:?}", path.display()));
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

/// Scripts that change nothing, one for each fixture: what is sent is well-formed.
#[test]
fn every_fixture_is_judged_well() {
    let traces = privatelink_fuzz::script::traces(&privatelink_fuzz::script::INTERFACES).unwrap();
    let mut wrong = Vec::new();
    for number in 0..traces.len() {
        let script = u16::try_from(number).unwrap().to_be_bytes();
        if let Err(fault) = privatelink_fuzz::packets(&script) {
            wrong.push(format!("trace {number}: {fault:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), traces.len(), wrong.join("\n\n"));
}
