//! Modes beside each other, on interfaces of several kinds.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::time::Duration;

use anyhow::Result;
use privatelink_tests::lab::{Daemon, Lab, Namespace, Network, Provider, wait_until};

use crate::fixture::{CONFIG, Scene, everything_works, reload};

const MODES: [&str; 3] = ["native", "generic", "tc"];
const CHANGED: Duration = Duration::from_secs(20);

/// The configuration with a mode for the consumers' networks, and one for the provider's.
fn with_modes(consumers: &str, provider: &str) -> String {
    let mode = |mode: &str| format!("[[network]]\nmode = \"{mode}\"");
    let (before, vendor) = CONFIG.rsplit_once("[[network]]").unwrap();
    before.replace("[[network]]", &mode(consumers)) + &mode(provider) + vendor
}

fn wait_for_modes(daemon: &Daemon, consumers: &str, provider: &str) {
    wait_until(CHANGED, "the interfaces have the program in the new mode", || {
        daemon.status().is_ok_and(|status| {
            status["networks"].as_array().unwrap().iter().all(|network| {
                let wanted = if network["name"] == "vendor" { provider } else { consumers };
                network["xdp_mode"] == wanted
            })
        })
    })
    .unwrap();
}

/// Modes change under open flows, too: the flow table is one.
#[test]
fn every_pair_of_modes_carries_packets_in_both_directions() {
    let scene = Scene::start().unwrap();
    for consumers in MODES {
        for provider in MODES {
            reload(&scene.daemon, &with_modes(consumers, provider)).unwrap();
            wait_for_modes(&scene.daemon, consumers, provider);
            for consumer in ["acme", "globex"] {
                everything_works(scene.lab.host(consumer)).unwrap_or_else(|error| {
                    let status = scene.daemon.status().unwrap();
                    panic!("{consumers} to {provider}: {error:?}: {status}")
                });
            }
            let problems = &scene.daemon.status().unwrap()["problems"];
            assert_eq!(problems.as_array().map(Vec::len), Some(0), "{problems}");
        }
    }
}

/// What stands in place of the gateway's veth.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Veth,
    Bridge,
    Macvlan,
}

impl Kind {
    fn make(self, gateway: &Namespace, device: &str) -> Result<()> {
        let (port, ip) = (device.replace("veth", "port"), |words: &str| gateway.ip(words));
        if matches!(self, Self::Veth) {
            return Ok(());
        }
        ip(&format!("link set {device} down"))?;
        ip(&format!("link set {device} name {port}"))?;
        if matches!(self, Self::Bridge) {
            ip(&format!("link add {device} type bridge forward_delay 0 mcast_snooping 0"))?;
            ip(&format!("link set {port} master {device}"))?;
        } else {
            ip(&format!("link add {device} link {port} type macvlan mode passthru"))?;
        }
        ip(&format!("link set {port} up"))?;
        ip(&format!("link set {device} up"))?;
        Ok(())
    }
}

#[test]
fn interfaces_of_every_kind_carry_packets_with_default_offloads() {
    for (consumers, provider) in [
        (Kind::Bridge, Kind::Bridge),
        (Kind::Macvlan, Kind::Veth),
        (Kind::Veth, Kind::Bridge),
        (Kind::Macvlan, Kind::Macvlan),
    ] {
        let mut lab = Lab::builder();
        for consumer in ["acme", "globex", "initech"] {
            lab = lab.network(Network::consumer(consumer).with_offloads());
        }
        let lab = lab.network(Network::provider("vendor").with_offloads()).build().unwrap();
        for consumer in ["acme", "globex", "initech"] {
            consumers.make(lab.gateway(), &format!("veth-{consumer}")).unwrap();
        }
        provider.make(lab.gateway(), "veth-vendor").unwrap();
        let _provider = Provider::start(lab.host("vendor")).unwrap();
        let daemon = Daemon::start(lab.gateway(), &with_modes("auto", "auto")).unwrap();
        wait_for_modes(&daemon, "tc", "tc");
        everything_works(lab.host("acme")).unwrap_or_else(|error| {
            let status = daemon.status().unwrap();
            panic!("{consumers:?} to {provider:?}: {error:?}: {status}")
        });
        assert_eq!(daemon.drops().unwrap(), 0);
        let said = daemon.ask(&["test", "acme-web", "--json"]);
        assert!(said.is_ok(), "{consumers:?} to {provider:?}: {said:?}");
    }
}

/// Nothing polls at the other end of a container's veth, unless it is told to.
#[test]
fn frames_that_an_interface_would_not_take_are_a_problem() {
    let mut lab = Lab::builder();
    for consumer in ["acme", "globex", "initech"] {
        lab = lab.network(Network::consumer(consumer).with_offloads());
    }
    let lab = lab.network(Network::provider("vendor").with_offloads()).build().unwrap();
    let daemon = Daemon::start(lab.gateway(), &with_modes("native", "native")).unwrap();
    let problem = || daemon.status().unwrap()["problems"].to_string();
    wait_until(CHANGED, "the problem is shown", || {
        problem().contains("interface veth-acme runs XDP in the driver, and interface veth-vendor")
    })
    .unwrap();
    reload(&daemon, &with_modes("auto", "auto")).unwrap();
    wait_for_modes(&daemon, "tc", "tc");
    wait_until(CHANGED, "the problem is gone", || problem() == "[]").unwrap();
}
