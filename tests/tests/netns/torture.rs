//! A short run of attacks of `cargo xtask torture isolation`.

use privatelink_tests::torture::{self, Plan, attack::Attack, scene::Setting};
use tempfile::TempDir;

/// Attacks that the gateway withstands.
const WITHSTOOD: [Attack; 3] = [Attack::HalfOpen, Attack::Signals, Attack::Fragments];

#[test]
fn no_tenant_receives_what_it_did_not_ask_for() {
    let directory = TempDir::new().unwrap();
    let plan = Plan {
        seed: 1,
        frames: 6_000,
        attacks: WITHSTOOD.to_vec(),
        settings: vec![Setting::Open],
        keep: directory.path().to_owned(),
    };
    let report = torture::run(&plan).unwrap();
    assert!(report.passes(), "{report}");
}
