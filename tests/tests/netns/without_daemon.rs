//! Without a daemon, grants end at their time and silent flows expire, and nothing else changes.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::time::{Duration, Instant};

use privatelink_tests::lab::{Load, client, wait_until};

use crate::fixture::{CONFIG, ENDPOINT, NEVER, SOON, Scene, at};

/// How long the grant lasts. The daemon is killed at once.
const GRANT: Duration = Duration::from_secs(10);
/// How much later than its time a grant may end.
const LATE: Duration = Duration::from_secs(1);

#[test]
fn a_grant_ends_at_its_time_and_others_lose_nothing() {
    let config = CONFIG.replacen(
        "acceptance = \"automatic\"\n",
        "acceptance = \"manual\"\naccept = [\"globex\"]\n",
        1,
    );
    let mut scene = Scene::with(&config).unwrap();
    let others = ENDPOINT.map(|address| at(address, 7));
    let load = Load::start(scene.lab.host("globex"), &others).unwrap();
    let begin = Instant::now();
    scene.daemon.ask(&["accept", "acme-web", "--for", "10s", "--json"]).unwrap();
    let granted = Instant::now();
    scene.daemon.kill();
    let flow = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    flow.set_read_timeout(Some(NEVER)).unwrap();
    let mut round = 0;
    let ended = loop {
        round += 1;
        if client::tcp_exchange(&flow, 100, round).is_err() {
            break Instant::now();
        }
        assert!(granted.elapsed() < GRANT + LATE, "the grant has not ended");
    };
    assert!(ended - begin >= GRANT, "it ended after {:?}", ended - begin);
    // A flow notices by a packet that is not answered.
    assert!(ended - granted <= GRANT + LATE + NEVER, "it ended after {:?}", ended - granted);
    scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), NEVER)).unwrap_err();
    let others = load.finish().unwrap();
    assert_eq!((others.lost, others.strange), (0, 0), "{others:?}");
    scene.daemon.run().unwrap();
    let connection = scene.daemon.ask(&["connections", "acme-web", "--json"]).unwrap();
    assert_eq!(connection["state"], "expired", "{connection}");
}

#[test]
fn silent_flows_expire_and_their_limits_are_free_again() {
    let name = "name = \"acme-web\"";
    let limited = format!("{name}\nlimits = {{ flows = 1 }}");
    let mut scene = Scene::with(&CONFIG.replacen(name, &limited, 1)).unwrap();
    // A flow that was closed is kept for ten seconds; the next has another port, so is another.
    let echo = |scene: &Scene| {
        scene.acme().run(|| client::tcp_echo(at(ENDPOINT[0], 7), 100, 1, NEVER)).map(drop)
    };
    echo(&scene).unwrap();
    scene.daemon.kill();
    echo(&scene).unwrap_err();
    wait_until(SOON * 3, "the closed flow has expired", || echo(&scene).is_ok()).unwrap();
}
