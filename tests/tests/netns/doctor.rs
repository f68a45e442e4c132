//! `privatelink doctor` beside a daemon, and after it has gone.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::collections::BTreeSet;

use privatelink_tests::lab::{Daemon, wait_until};
use serde_json::Value;

use crate::fixture::{CONFIG, SOON, lay};

/// The names of the checks that find something.
fn found(daemon: &Daemon) -> BTreeSet<String> {
    let mut asked = daemon.cli();
    let output = asked.arg("doctor").arg(daemon.config()).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let findings = said["findings"].as_array().unwrap();
    let has_error = findings.iter().any(|finding| finding["severity"] == "error");
    assert_eq!(output.status.code(), Some(i32::from(has_error)), "{said}");
    assert_eq!(said["passed"], !has_error, "{said}");
    findings.iter().map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_doctor_listens_to_the_daemon_and_misses_it() {
    let lab = lay().unwrap();
    let mut daemon = Daemon::start(lab.gateway(), CONFIG).unwrap();
    let ours = |found: &BTreeSet<String>| {
        let of = |name: &&String| name.starts_with("interface") || name.starts_with("daemon");
        found.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    assert_eq!(ours(&found(&daemon)), [""; 0]);
    lab.gateway().ip("link set veth-acme down").unwrap();
    // The namespace has no `/sys` of its own, so only the daemon knows.
    wait_until(SOON, "the daemon says so", || ours(&found(&daemon)) == ["daemon-problem"]).unwrap();
    lab.gateway().ip("link set veth-acme up").unwrap();
    wait_until(SOON, "it says no more", || ours(&found(&daemon)).is_empty()).unwrap();
    let other = CONFIG.replacen("veth-globex", "elsewhere", 1);
    daemon.write_config(&other).unwrap();
    assert_eq!(ours(&found(&daemon)), ["interface-missing"]);
    daemon.write_config(CONFIG).unwrap();
    daemon.kill();
    assert_eq!(ours(&found(&daemon)), ["daemon-absent"]);
}
