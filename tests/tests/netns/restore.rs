//! A backup of the state directory, restored.

use std::{fs, process::Command};

use privatelink_tests::lab::tool;

use crate::fixture::{CONFIG, Scene, everything_works};

#[test]
fn a_restored_gateway_has_its_decisions_and_addresses() {
    let manual = CONFIG.replacen("acceptance = \"automatic\"", "acceptance = \"manual\"", 1);
    let config = manual.clone()
        + "\n[[endpoint]]\nname = \"acme-auto\"\nservice = \"web\"\nnetwork = \"acme\"\n";
    let mut scene = Scene::with(&config).unwrap();
    let state = |daemon: &privatelink_tests::lab::Daemon, endpoint: &str| {
        let found = daemon.ask(&["endpoints", endpoint, "--json"]).unwrap();
        (found["state"].clone(), found["addresses"].clone())
    };
    scene.daemon.ask(&["accept", "acme-web", "--reason", "contract", "--json"]).unwrap();
    scene.daemon.ask(&["reject", "globex-web", "--json"]).unwrap();
    let names = ["acme-web", "globex-web", "acme-auto"];
    let before = names.map(|name| state(&scene.daemon, name));
    assert_eq!(before[0].0, "available");

    // While the daemon runs.
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("backup.tar.gz");
    let state_dir = scene.daemon.state_dir();
    let mut tar = Command::new("tar");
    tar.args(["--create", "--gzip", "--file"]).arg(&archive).arg("--directory").arg(&state_dir);
    tool::run(tar.arg(".")).unwrap();

    // The host is lost: state, pins and flows.
    tool::run(scene.daemon.cli().arg("down")).unwrap();
    fs::remove_dir_all(&state_dir).unwrap();
    fs::create_dir(&state_dir).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--gzip", "--file"]).arg(&archive).arg("--directory").arg(&state_dir);
    tool::run(&mut tar).unwrap();
    scene.daemon.run().unwrap();
    assert_eq!(names.map(|name| state(&scene.daemon, name)), before);
    everything_works(scene.acme()).unwrap();
    let history = scene.daemon.ask(&["connections", "acme-web", "--json"]).unwrap();
    assert!(history["history"].to_string().contains("contract"), "{history}");
}
