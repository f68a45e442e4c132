//! A host whose clock is set while grants run.
//!
//! The clock of the machine that runs the tests must not be set. A time namespace has the other half: in
//! it, more time has passed since the boot than the wall clock knows, as if that had been set back.
//! A daemon that runs meanwhile has a wall clock of its own ([`WallClock`]).

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    fs,
    net::UdpSocket,
    time::{Duration, Instant},
};

use privatelink_tests::{
    lab::{client, wait_until},
    wall_clock::WallClock,
};
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

/// How long the grant lasts while the clock is set.
const GRANT: Duration = Duration::from_secs(40);

/// The moment of the latest event of a kind.
fn last_event(scene: &Scene, kind: &str) -> Timestamp {
    let events = scene.daemon.ask(&["events", "--json", "--kind", kind]).unwrap();
    let last = events.as_array().unwrap().last().unwrap_or_else(|| panic!("no {kind}"));
    last["time"].as_str().unwrap().to_owned().try_into().unwrap()
}

#[test]
fn a_running_daemon_goes_on_as_before_when_the_clock_is_set() {
    let manual = "acceptance = \"manual\"";
    let mut scene = Scene::with(&CONFIG.replacen("acceptance = \"automatic\"", manual, 1)).unwrap();
    scene.daemon.terminate();
    let clock = WallClock::new().unwrap();
    clock.run(&mut scene.daemon).unwrap();
    let begin = Instant::now();
    let words = ["accept", "acme-web", "--for", &format!("{}s", GRANT.as_secs()), "--json"];
    scene.daemon.ask(&words).unwrap();
    let granted = Instant::now();
    let socket = scene.acme().run(|| Ok(UdpSocket::bind("0.0.0.0:0")?)).unwrap();
    socket.connect(at(ENDPOINT[0], 7)).unwrap();
    client::udp_exchange(&socket, b"first", SOON).unwrap();
    let first = until(&scene);
    let (hour, decade) = (HOUR.as_secs().cast_signed(), TEN_YEARS.as_secs().cast_signed());
    for ahead in [hour, -hour, decade, -decade] {
        clock.set(ahead).unwrap();
        // What was open goes on, something new may begin, and commands are answered.
        client::udp_exchange(&socket, b"again", SOON).unwrap();
        fetch(&scene).unwrap();
        assert_eq!(connection(&scene)["state"], "available");
        // What is shown moves with the wall clock.
        let shown = until(&scene);
        let (later, earlier) = (shown.since(first).as_secs(), first.since(shown).as_secs());
        let moved = later.cast_signed() - earlier.cast_signed();
        assert!((moved - ahead).abs() <= 2, "{moved} instead of {ahead}");
        assert!(begin.elapsed() < GRANT, "the steps took {:?}", begin.elapsed());
    }
    // It ends after as much time as it was given, ten years back as the clock is.
    let shut = || client::udp_exchange(&socket, b"late", Duration::from_millis(200)).is_err();
    wait_until(GRANT * 2, "the grant ends", shut).unwrap();
    println!("a grant of {GRANT:?} ended after {:?} at most", granted.elapsed());
    assert!(begin.elapsed() >= GRANT, "after {:?}", begin.elapsed());
    assert!(granted.elapsed() <= GRANT + Duration::from_secs(3), "{:?}", granted.elapsed());
    assert_eq!(connection(&scene)["state"], "expired");
    let expired = last_event(&scene, "connection-expired");
    assert!(expired < first, "events have the wall clock's time: {expired}");
    // A second grant, and the clock is set right: it lasts as long as it was given.
    scene.daemon.ask(&["accept", "acme-web", "--for", "1h", "--json"]).unwrap();
    clock.set(0).unwrap();
    fetch(&scene).unwrap();
    assert_eq!(connection(&scene)["state"], "available");
}
