//! Kill, restart, upgrade and reload under load lose nothing.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::collections::BTreeSet;

use privatelink_tests::lab::{Load, network::interface_of, upgrade::with_other_programs};
use serde_json::Value;

use crate::fixture::{CONFIG, ENDPOINT, Scene, at, everything_works};

/// Restarts and reloads.
const ROUNDS: usize = 20;

/// What identifies the instructions of the program on an interface.
fn tag(scene: &Scene) -> String {
    let words = format!("-json -details link show dev {}", interface_of("acme"));
    let links: Value = serde_json::from_str(&scene.lab.gateway().ip(&words).unwrap()).unwrap();
    links[0]["xdp"]["prog"]["tag"].as_str().unwrap().to_owned()
}

#[test]
fn kill_upgrade_and_reload_under_load_lose_nothing() {
    let mut scene = Scene::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("privatelink");
    with_other_programs(scene.daemon.binary(), &copy).unwrap();
    let binaries = [copy, scene.daemon.binary().to_owned()];
    let load = Load::start(scene.acme(), &ENDPOINT.map(|address| at(address, 7))).unwrap();
    let mut tags = BTreeSet::from([tag(&scene)]);
    for (round, binary) in (1..=ROUNDS).zip(binaries.iter().cycle()) {
        // Every second time with SIGTERM.
        if round % 2 == 0 {
            scene.daemon.terminate()
        } else {
            scene.daemon.kill()
        };
        scene.daemon.replace_binary(binary);
        scene.daemon.run().unwrap_or_else(|error| panic!("start {round}: {error:#}"));
        tags.insert(tag(&scene));
        let weight = format!("address = \"10.0.0.10\"\nweight = {round}\n");
        let config = CONFIG.replacen("address = \"10.0.0.10\"\n", &weight, 1);
        scene.daemon.write_config(&config).unwrap();
        let difference = scene.daemon.ask(&["reload", "--json"]).unwrap();
        assert_eq!(difference["changes"].as_array().unwrap().len(), 1, "{difference}");
        assert_eq!(difference["flows_cut"], 0, "{difference}");
    }
    let tally = load.finish().unwrap();
    println!("{ROUNDS} times: {tally:?}");
    assert_eq!((tally.lost, tally.strange), (0, 0), "{tally:?}");
    assert!(tally.datagrams > 1_000 && tally.bytes > 1_000_000, "too little traffic: {tally:?}");
    assert_eq!(tags.len(), 2, "the programs were never replaced");
    everything_works(scene.acme()).unwrap();
}
