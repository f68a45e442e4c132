//! What remains when the daemon dies, and that nothing remains after `down`.

use privatelink_tests::lab::{Daemon, client, network::interface_of};
use serde_json::Value;

use crate::fixture::{ENDPOINT, NEVER, SOON, Scene, at, everything_works};

const NETWORKS: [&str; 4] = ["acme", "globex", "initech", "vendor"];

/// Returns which of the gateway's interfaces have an XDP program, as the kernel says.
fn with_xdp(scene: &Scene) -> Vec<&'static str> {
    let links = scene.lab.gateway().ip("-json -details link show").unwrap_or_default();
    let links: Vec<Value> = serde_json::from_str(&links).unwrap_or_default();
    let has_xdp = |network: &&str| {
        links.iter().any(|link| {
            link["ifname"] == interface_of(network).as_str()
                && link["xdp"]["mode"].as_u64().is_some_and(|mode| mode != 0)
        })
    };
    NETWORKS.into_iter().filter(has_xdp).collect()
}

/// Opens a connection through each endpoint address, and uses it.
fn open_flows(scene: &Scene) -> anyhow::Result<Vec<std::net::TcpStream>> {
    let mut streams = Vec::new();
    for endpoint in ENDPOINT {
        let stream = scene.acme().run(|| client::connect(at(endpoint, 7), SOON))?;
        client::tcp_exchange(&stream, 10_000, 1)?;
        streams.push(stream);
    }
    Ok(streams)
}

#[test]
fn the_status_shows_what_is_attached() {
    let scene = Scene::start().unwrap();
    let status = scene.daemon.status().unwrap();
    assert_eq!(status["gateway"], "gw-test");
    assert_eq!(status["ready"], true);
    let networks = status["networks"].as_array().unwrap();
    for name in NETWORKS {
        let network = networks.iter().find(|network| network["name"] == name).unwrap();
        assert_eq!(network["interface"], interface_of(name).as_str());
        assert_eq!(network["xdp_mode"], "native");
    }
    assert_eq!(with_xdp(&scene), NETWORKS);
}

#[test]
fn traffic_survives_kill_9_and_the_restart() {
    let mut scene = Scene::start().unwrap();
    let flows = open_flows(&scene).unwrap();
    scene.daemon.kill();
    for flow in &flows {
        client::tcp_exchange(flow, 100_000, 2).unwrap();
    }
    everything_works(scene.acme()).unwrap();
    scene.daemon.run().unwrap();
    for flow in &flows {
        client::tcp_exchange(flow, 100_000, 3).unwrap();
    }
    everything_works(scene.acme()).unwrap();
}

#[test]
fn stopping_the_daemon_leaves_forwarding_in_place() {
    let mut scene = Scene::start().unwrap();
    let flows = open_flows(&scene).unwrap();
    scene.daemon.terminate();
    for flow in &flows {
        client::tcp_exchange(flow, 100_000, 2).unwrap();
    }
    everything_works(scene.acme()).unwrap();
}

#[test]
fn down_leaves_nothing() {
    let mut scene = Scene::start().unwrap();
    everything_works(scene.acme()).unwrap();
    scene.daemon.down().unwrap();
    nothing_is_left(&scene);
}

#[test]
fn down_works_without_a_daemon() {
    let mut scene = Scene::start().unwrap();
    scene.daemon.kill();
    scene.daemon.down().unwrap();
    nothing_is_left(&scene);
}

fn nothing_is_left(scene: &Scene) {
    assert_eq!(with_xdp(scene), [""; 0]);
    let pins = scene.daemon.pin_dir();
    assert!(!pins.exists(), "{} is still there", pins.display());
    let page = scene.acme().run(|| client::connect(at(ENDPOINT[0], 80), NEVER));
    assert!(page.is_err(), "traffic still crosses");
}

#[test]
fn a_gateway_starts_again_after_down() {
    let mut scene = Scene::start().unwrap();
    scene.daemon.down().unwrap();
    let _second = Daemon::start(scene.lab.gateway(), crate::fixture::CONFIG).unwrap();
    everything_works(scene.acme()).unwrap();
}
