//! A host whose clock is set while grants run.
//!
//! The clock of the machine that runs the tests must not be set. A time namespace has the other half: in
//! it, more time has passed since the boot than the wall clock knows, as if that had been set back.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{fs, time::Duration};

use privatelink_tests::lab::client;
use privatelink_user::timestamp::Timestamp;
use serde_json::Value;

use crate::fixture::{CONFIG, ENDPOINT, SOON, Scene, at};

const HOUR: Duration = Duration::from_secs(3_600);
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

fn connection(scene: &Scene) -> Value {
    scene.daemon.ask(&["connections", "acme-web", "--json"]).unwrap()
}

fn until(scene: &Scene) -> Timestamp {
    connection(scene)["until"].as_str().unwrap().to_owned().try_into().unwrap()
}

fn fetch(scene: &Scene) -> anyhow::Result<()> {
    scene.acme().run(|| client::tcp_echo(at(ENDPOINT[0], 7), 1_000, 1, SOON).map(drop))
}

#[test]
fn a_clock_that_was_set_back_prolongs_no_grant() {
    let manual = "acceptance = \"manual\"";
    let mut scene = Scene::with(&CONFIG.replacen("acceptance = \"automatic\"", manual, 1)).unwrap();
    // Long after the boot, so that the gateway no longer follows the wall clock.
    scene.daemon.terminate();
    let _ = fs::remove_file(scene.daemon.state_dir().join("clock.json"));
    scene.daemon.run_with_more_uptime(HOUR).unwrap();
    scene.daemon.ask(&["accept", "acme-web", "--for", "2h", "--json"]).unwrap();
    let first = until(&scene);
    fetch(&scene).unwrap();

    scene.daemon.kill();
    scene.daemon.run_with_more_uptime(HOUR * 2).unwrap();
    assert_eq!(connection(&scene)["state"], "available");
    fetch(&scene).unwrap();
    // An hour of the two is over. The wall clock shows it, give or take a second.
    let moved = first.since(until(&scene)).as_secs();
    assert!((3_598..=3_602).contains(&moved), "{moved}");
    let said = scene.daemon.output();
    assert!(said.contains("it is 1h behind the time by which grants"), "{said}");

    for uptime in [HOUR * 3, TEN_YEARS] {
        scene.daemon.kill();
        scene.daemon.run_with_more_uptime(uptime).unwrap();
        assert_eq!(connection(&scene)["state"], "expired", "{uptime:?}");
        assert!(fetch(&scene).is_err(), "{uptime:?}");
    }
    // A grant that is given there lasts there.
    scene.daemon.ask(&["accept", "acme-web", "--for", "1h", "--json"]).unwrap();
    fetch(&scene).unwrap();
}
