//! Socket activation: a service manager starts the name server when a daemon connects.

use std::fs;

use nix::{sys::signal::kill, unistd::Pid};
use privatelink_tests::lab::{Process, wait_until};

use super::{NAME, Scene, config};
use crate::fixture::{SOON, reload};

#[test]
fn a_server_that_a_service_manager_starts_is_found() {
    let mut scene = Scene::start(&config());
    let started = || scene.daemon.output().matches("the name server is process").count();
    assert_eq!(started(), 1);
    reload(&scene.daemon, &config().replace("dns = true\n", "")).unwrap();
    let (own, _) = super::server(&scene.daemon);
    let own = Pid::from_raw(own);
    wait_until(SOON, "the daemon's own server has ended", || kill(own, None).is_err()).unwrap();

    let mut socket = scene.daemon.socket().into_os_string();
    socket.push(".dns");
    fs::remove_file(&socket).unwrap();
    let mut manager = scene.lab.gateway().command("systemd-socket-activate");
    manager.arg("--inetd").arg("--listen").arg(&socket);
    manager.arg(scene.daemon.binary()).args(["dns", "serve"]);
    let mut server = Process::spawn("systemd-socket-activate", manager).unwrap();
    let listens = || server.output().contains("Listening on");
    wait_until(SOON, "the service manager listens", listens).unwrap();
    reload(&scene.daemon, &config()).unwrap();
    wait_until(SOON, "names are served", || scene.dig("acme", &[NAME]) == ["10.1.0.50"]).unwrap();
    assert_eq!(started(), 1, "{}", scene.daemon.output());
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    assert!(!status.contains("Name:\tsystemd"), "{status}");

    scene.daemon.down().unwrap();
    wait_until(SOON, "the server has ended", || server.ended().is_some()).unwrap();
}
