//! Hosts whose offloads are as they are by default, as those of containers are: they leave the
//! checksums of their packets, and the cutting of long ones, to a device that does neither.

use anyhow::Result;
use privatelink_tests::lab::{Daemon, Lab, Network, Provider, client};

use crate::fixture::{CONFIG, ENDPOINT, SERVER, SOON, at, everything_works, without_target};

/// Networks with offloads around a gateway that chooses the mode by itself.
struct Scene {
    daemon: Daemon,
    _provider: Provider,
    lab: Lab,
}

impl Scene {
    fn with(config: &str) -> Result<Self> {
        let lab = Lab::builder()
            .network(Network::consumer("acme").with_offloads())
            .network(Network::consumer("globex").with_offloads())
            .network(Network::consumer("initech").with_offloads())
            .network(Network::provider("vendor").with_offloads())
            .build()?;
        let provider = Provider::start(lab.host("vendor"))?;
        let daemon = Daemon::start(lab.gateway(), &in_mode("auto", config))?;
        Ok(Self { daemon, _provider: provider, lab })
    }
}

/// The configuration with this mode in every network.
fn in_mode(mode: &str, config: &str) -> String {
    config.replace("[[network]]", &format!("[[network]]\nmode = \"{mode}\""))
}

#[test]
fn everything_works_with_default_offloads() {
    let scene = Scene::with(CONFIG).unwrap();
    let status = scene.daemon.status().unwrap();
    for network in status["networks"].as_array().unwrap() {
        assert_eq!(network["xdp_mode"], "tc", "{network}");
    }
    for consumer in ["acme", "globex"] {
        everything_works(scene.lab.host(consumer)).unwrap();
    }
    assert_eq!(scene.daemon.drops().unwrap(), 0, "{}", scene.daemon.status().unwrap());
}

#[test]
fn long_streams_cross_in_segments_that_the_kernel_cuts() {
    let scene = Scene::with(CONFIG).unwrap();
    for endpoint in ENDPOINT {
        scene
            .lab
            .host("acme")
            .run(|| client::tcp_echo(at(endpoint, 7), 50_000_000, 7, SOON))
            .unwrap_or_else(|error| panic!("{error:?}: {}", scene.daemon.status().unwrap()));
    }
    assert_eq!(scene.daemon.drops().unwrap(), 0, "{}", scene.daemon.status().unwrap());
}

#[test]
fn streams_and_datagrams_change_family_with_default_offloads() {
    for (endpoint, target) in ENDPOINT.into_iter().zip(SERVER) {
        let scene = Scene::with(&without_target(CONFIG, target)).unwrap();
        scene
            .lab
            .host("acme")
            .run(|| {
                client::http_get(at(endpoint, 80), SOON)?;
                client::udp_echo(at(endpoint, 7), b"ping", SOON)?;
                client::tcp_echo(at(endpoint, 7), 20_000_000, 7, SOON)
            })
            .unwrap_or_else(|error| panic!("{error:?}: {}", scene.daemon.status().unwrap()));
    }
}
