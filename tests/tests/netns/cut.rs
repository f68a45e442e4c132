//! Many flows that are cut at once: the daemon goes on answering, and tells of each end. The suite
//! `cut` does the same with a million.

use privatelink_tests::cut::cut;

use crate::fixture::CONFIG;

const FLOWS: u32 = 50_000;

#[test]
fn many_flows_are_cut_while_requests_are_answered_and_each_end_is_logged() {
    cut(CONFIG, FLOWS).unwrap().judge(FLOWS);
}
