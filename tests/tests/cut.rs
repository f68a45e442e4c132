//! A million flows that are cut at once.
//!
//! `cargo xtask test cut` runs it; `PRIVATELINK_CUT_FLOWS` takes another number.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::env;

use privatelink_tests::cut::cut;

/// The variable that says how many flows are cut.
const FLOWS: &str = "PRIVATELINK_CUT_FLOWS";
const CONFIG: &str = include_str!("netns/gateway.toml");

#[test]
fn a_million_flows_are_cut_and_each_is_told() {
    let count = env::var(FLOWS).map_or(1_000_000, |text| text.parse().unwrap());
    cut(CONFIG, count).unwrap().judge(count);
}
