//! Another `max_flows`: a problem until the table is replaced, which keeps all flows.

use std::time::Duration;

use privatelink_tests::{
    lab::{
        Load, client,
        crowd::{Crowd, flows},
        wait_until,
    },
    pinned,
};
use serde_json::Value;

use crate::fixture::{CONFIG, ENDPOINT, SOON, Scene, at, reload};

/// Silent flows, besides those with traffic.
const CROWD: u16 = 1_000;
/// Connections that say something now and then.
const STREAMS: usize = 50;
/// Starts that are killed, one after the other, before one is not.
const KILLS: u64 = 12;

fn config(max_flows: u32) -> String {
    // Datagrams must not expire while a busy machine starts the daemon again.
    let port = "protocol = \"udp\"\nport = 7\n";
    let config = CONFIG.replacen(port, &format!("{port}idle_timeout = \"1h\"\n"), 1);
    config.replacen("max_flows = 4096", &format!("max_flows = {max_flows}"), 1)
}

fn problems(status: &Value) -> String {
    status["problems"].to_string()
}

#[test]
fn a_table_grows_and_shrinks_under_load_and_keeps_all_flows() {
    let scene = Scene::with(&config(4_096)).unwrap();
    let echoes = ENDPOINT.map(|address| at(address, 7));
    let crowds = echoes.map(|echo| Crowd::new(scene.acme(), echo, 20_000..20_000 + CROWD));
    crowds.iter().for_each(|crowd| crowd.speak(SOON).unwrap());
    let streams: Vec<_> = (0..STREAMS)
        .map(|_| scene.acme().run(|| client::connect(echoes[0], SOON)).unwrap())
        .collect();
    let load = Load::start(scene.lab.host("globex"), &echoes).unwrap();
    let before = flows(&scene.daemon).unwrap();
    assert_eq!(before.len(), usize::from(2 * CROWD) + STREAMS + 4);
    for (round, capacity) in [(1, 300_000), (2, 8_192)] {
        scene.daemon.write_config(&config(capacity)).unwrap();
        scene.daemon.ask(&["reload", "--json"]).unwrap();
        let status = scene.daemon.status().unwrap();
        assert!(problems(&status).contains("reload --grow"), "{status}");
        assert_ne!(status["flows"]["capacity"], capacity, "{status}");
        let id = scene.daemon.id();
        scene.daemon.ask(&["reload", "--grow", "--json"]).unwrap();
        let status = scene.daemon.status().unwrap();
        assert_eq!(scene.daemon.id(), id);
        assert!(!problems(&status).contains("max_flows"), "{status}");
        assert_eq!(status["flows"]["capacity"], capacity, "{status}");
        let after = flows(&scene.daemon).unwrap();
        let lost: Vec<_> = before.difference(&after).collect();
        assert!(lost.is_empty(), "{} flows were lost: {:?}", lost.len(), lost.first());
        for stream in &streams {
            client::tcp_exchange(stream, 1_000, round).unwrap();
        }
        crowds.iter().for_each(|crowd| crowd.speak(SOON).unwrap());
        assert_eq!(flows(&scene.daemon).unwrap(), after, "flows were opened again");
    }
    let tally = load.finish().unwrap();
    println!("{tally:?}");
    assert_eq!((tally.lost, tally.strange), (0, 0), "{tally:?}");
}

/// Source ports that were one endpoint's rest for two minutes, also in a new table.
#[test]
fn blocks_of_ports_rest_when_the_table_is_replaced() {
    let scene = Scene::with(&config(4_096)).unwrap();
    let echo = at(ENDPOINT[0], 7);
    Crowd::new(scene.acme(), echo, 20_000..20_000 + CROWD).speak(SOON).unwrap();
    Crowd::new(scene.lab.host("globex"), echo, 20_000..20_010).speak(SOON).unwrap();
    let without_acme = |max_flows| {
        let allow = "allow = [\"acme\", \"globex\"]";
        config(max_flows).replacen(allow, "allow = [\"globex\"]", 1)
    };
    reload(&scene.daemon, &without_acme(4_096)).unwrap();
    let pins = scene.daemon.pin_dir();
    let ended = || pinned::counted_flows(pins).unwrap() == [10, 10];
    wait_until(SOON, "the flows of acme have ended", ended).unwrap();
    let before = pinned::resting_blocks(pins).unwrap();
    assert!(before.len() > usize::from(CROWD) / 32, "{} blocks", before.len());
    for capacity in [300_000, 8_192] {
        scene.daemon.write_config(&without_acme(capacity)).unwrap();
        scene.daemon.ask(&["reload", "--grow", "--json"]).unwrap();
        let after = pinned::resting_blocks(pins).unwrap();
        assert_eq!(after, before, "with a table for {capacity} flows");
        assert_eq!(pinned::counted_flows(pins).unwrap(), [10, 10]);
    }
}

#[test]
fn a_daemon_that_dies_while_it_replaces_the_table_loses_no_flow() {
    let mut scene = Scene::with(&config(4_096)).unwrap();
    let echo = at(ENDPOINT[0], 7);
    let speak = |scene: &Scene| {
        Crowd::new(scene.acme(), echo, 20_000..20_000 + CROWD).speak(SOON).unwrap();
    };
    speak(&scene);
    let load = Load::start(scene.lab.host("globex"), &[echo]).unwrap();
    let before = flows(&scene.daemon).unwrap();
    scene.daemon.kill();
    for round in 0..KILLS {
        scene.daemon.write_config(&config(8_192 << (round % 3))).unwrap();
        scene.daemon.run_unready().unwrap();
        // Where it is by then differs from round to round.
        let patience = Duration::from_millis(20 + 20 * round);
        let ready = wait_until(patience, "the daemon is ready", || {
            scene.daemon.status().is_ok_and(|status| status["ready"] == true)
        });
        println!("killed after {patience:?}, ready: {}", ready.is_ok());
        scene.daemon.kill();
    }
    scene.daemon.run().unwrap();
    let after = flows(&scene.daemon).unwrap();
    let lost: Vec<_> = before.difference(&after).collect();
    assert!(lost.is_empty(), "{} flows were lost: {:?}", lost.len(), lost.first());
    speak(&scene);
    assert_eq!(flows(&scene.daemon).unwrap(), after, "flows were opened again");
    let tally = load.finish().unwrap();
    assert_eq!((tally.lost, tally.strange), (0, 0), "{tally:?}");
}
