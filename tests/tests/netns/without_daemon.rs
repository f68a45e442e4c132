//! Without a daemon, grants end at their time and silent flows expire, and nothing else changes.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use privatelink_tests::{
    lab::{Load, client, wait_until},
    pinned,
};
use serde_json::Value;

use crate::fixture::{CONFIG, ENDPOINT, NEVER, SOON, Scene, at};

/// How long the grant lasts. The daemon is killed at once.
const GRANT: Duration = Duration::from_secs(10);
/// How much later than its time a grant may end.
const LATE: Duration = Duration::from_secs(1);
/// How long the flows of the listener may be idle: the shortest time that can be configured.
const IDLE: Duration = Duration::from_secs(60);

/// A scene where somebody must accept `acme-web`.
fn with_grants() -> Scene {
    let automatic = "acceptance = \"automatic\"\n";
    let manual = "acceptance = \"manual\"\naccept = [\"globex\"]\n";
    Scene::with(&CONFIG.replacen(automatic, manual, 1)).unwrap()
}

fn grant(scene: &Scene, period: &str) -> Value {
    scene.daemon.ask(&["accept", "acme-web", "--for", period, "--json"]).unwrap()
}

fn acme_flow(scene: &Scene) -> TcpStream {
    let flow = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    flow.set_read_timeout(Some(NEVER)).unwrap();
    flow
}

#[test]
fn a_grant_ends_at_its_time_and_others_lose_nothing() {
    let mut scene = with_grants();
    let others = ENDPOINT.map(|address| at(address, 7));
    let load = Load::start(scene.lab.host("globex"), &others).unwrap();
    let begin = Instant::now();
    grant(&scene, "10s");
    let granted = Instant::now();
    scene.daemon.kill();
    let flow = acme_flow(&scene);
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
    println!("the grant ended after {:?}; the others: {others:?}", ended - begin);
    assert_eq!((others.lost, others.strange), (0, 0), "{others:?}");
    scene.daemon.run().unwrap();
    let connection = scene.daemon.ask(&["connections", "acme-web", "--json"]).unwrap();
    assert_eq!(connection["state"], "expired", "{connection}");
}

#[test]
fn silent_flows_expire_and_their_limits_are_free_again() {
    let name = "name = \"acme-web\"";
    let limited = format!("{name}\nlimits = {{ flows = 1 }}");
    let port = "protocol = \"tcp\"\nport = 7\n";
    let config = CONFIG.replacen(name, &limited, 1);
    let config = config.replacen(port, &format!("{port}idle_timeout = \"1m\"\n"), 1);
    let mut scene = Scene::with(&config).unwrap();
    // Each has another port, so is another flow.
    let echo = |scene: &Scene| {
        scene.acme().run(|| client::tcp_echo(at(ENDPOINT[0], 7), 100, 1, NEVER)).map(drop)
    };
    echo(&scene).unwrap();
    scene.daemon.kill();
    echo(&scene).unwrap_err();
    wait_until(SOON * 3, "the closed flow has expired", || echo(&scene).is_ok()).unwrap();
    let mut idle = None;
    wait_until(SOON * 3, "the second closed flow has expired", || {
        idle = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), NEVER)).ok();
        idle.is_some()
    })
    .unwrap();
    let begin = Instant::now();
    wait_until(IDLE + SOON, "the idle flow has expired", || echo(&scene).is_ok()).unwrap();
    assert!(begin.elapsed() > IDLE - NEVER * 2, "it ended after {:?}", begin.elapsed());
    drop(idle);
}

#[test]
fn while_a_daemon_lives_the_timer_is_put_off() {
    let scene = with_grants();
    grant(&scene, "3s");
    let before = pinned::timer_turns(scene.daemon.pin_dir()).unwrap();
    wait_until(SOON, "the daemon has ended the grant", || {
        let connection = scene.daemon.ask(&["connections", "acme-web", "--json"]).unwrap();
        connection["state"] == "expired"
    })
    .unwrap();
    // It would have fired ten times. On a busy machine the daemon may be late once.
    let turns = pinned::timer_turns(scene.daemon.pin_dir()).unwrap() - before;
    assert!(turns <= 2, "the timer fired {turns} times beside a living daemon");
}

#[test]
fn a_daemon_that_hung_undoes_what_the_timer_did_in_vain() {
    let scene = with_grants();
    grant(&scene, "5s");
    let flow = acme_flow(&scene);
    client::tcp_exchange(&flow, 100, 1).unwrap();
    let id = Pid::from_raw(i32::try_from(scene.daemon.id().unwrap()).unwrap());
    kill(id, Signal::SIGSTOP).unwrap();
    let changes = || pinned::timer_changes(scene.daemon.pin_dir()).unwrap();
    let ended = wait_until(SOON, "the timer has ended the grant", || changes() == 1);
    kill(id, Signal::SIGCONT).unwrap();
    ended.unwrap();
    grant(&scene, "1h");
    wait_until(SOON, "the new grant holds", || {
        scene.acme().run(|| client::tcp_echo(at(ENDPOINT[0], 7), 100, 1, NEVER)).is_ok()
    })
    .unwrap();
}
