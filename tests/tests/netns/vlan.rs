//! Networks on VLANs, with a trunk to the gateway and ordinary hosts behind it.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use anyhow::Result;
use privatelink_tests::lab::{Daemon, Host, Process, Provider, client, network, tool, wait_until};

use crate::fixture::{CLIENT, CONFIG, ENDPOINT, NEVER, SOON, at, everything_works, lay};

/// Debian's packages belong to Debian's Python, which may not be the first in the path.
const PYTHON: &str = "/usr/bin/python3";

/// Puts a switch between a host and its interface, which adds and removes the VLAN's tag.
///
/// The machine's kernel may not support VLANs, so the switch is a program.
fn behind_a_trunk(host: &Host, vlan: u16) -> Result<Process> {
    let namespace = host.namespace();
    namespace.ip("address flush dev eth0 scope global")?;
    namespace.ip("link add plain type veth peer name port")?;
    for device in ["plain", "port"] {
        network::behave_like_a_wire(namespace, device)?;
        let words = ["-K", device, "gso", "off", "tso", "off", "gro", "off"];
        tool::run(host.command("ethtool").args(words))?;
    }
    let addresses = [format!("{}/16", CLIENT[0]), format!("{}/64", CLIENT[1])];
    network::address(namespace, "plain", &addresses)?;
    for device in ["plain", "port"] {
        namespace.ip(&format!("link set {device} up"))?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/tagger.py");
    let mut command = host.command(PYTHON);
    command.arg(script).args(["port", "eth0", &vlan.to_string()]);
    let switch = Process::spawn("tagger", command)?;
    wait_until(SOON, "the switch to run", || switch.output().contains("ready"))?;
    Ok(switch)
}

/// The configuration with the network `acme` as a VLAN.
fn on_vlan(vlan: u16) -> String {
    let interface = r#"interface = "veth-acme""#;
    CONFIG.replace(interface, &format!("{interface}\nvlan = {vlan}"))
}

#[test]
fn consumers_on_a_vlan_and_beside_it_reach_everything() {
    let lab = lay().unwrap();
    let _captures = lab.capture().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let _switch = behind_a_trunk(lab.host("acme"), 101).unwrap();
    let daemon = Daemon::start(lab.gateway(), &on_vlan(101)).unwrap();
    for consumer in ["acme", "globex"] {
        everything_works(lab.host(consumer)).unwrap();
    }
    for endpoint in ENDPOINT {
        let mut ping = lab.host("acme").command("ping");
        tool::run(ping.args(["-c", "2", "-i", "0.2", "-W", "5", endpoint])).unwrap();
    }
    assert_eq!(daemon.drops().unwrap(), 0);
    // So do the frames of a test.
    let said = daemon.ask(&["test", "acme-web", "--json"]).unwrap();
    assert_eq!((&said["passed"], said["walks"].as_array().map(Vec::len)), (&true.into(), Some(6)));
}

/// The flow on the VLAN is reset when the provider rejects it: the gateway's own frames are tagged.
#[test]
fn a_rejected_flow_on_a_vlan_is_reset() {
    let lab = lay().unwrap();
    let _captures = lab.capture().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let _switch = behind_a_trunk(lab.host("acme"), 101).unwrap();
    let daemon = Daemon::start(lab.gateway(), &on_vlan(101)).unwrap();
    let acme = lab.host("acme");
    for endpoint in ENDPOINT {
        let mut stream = acme.run(|| client::connect(at(endpoint, 7), SOON)).unwrap();
        client::tcp_exchange(&stream, 1_000, 1).unwrap();
        tool::run(daemon.cli().args(["reject", "acme-web"])).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let ended = client::uninterrupted(|| stream.read(&mut [0])).map_err(|error| error.kind());
        assert_eq!(ended, Err(ErrorKind::ConnectionReset));
        tool::run(daemon.cli().args(["accept", "acme-web"])).unwrap();
    }
}

#[test]
fn another_vlan_of_the_interface_is_not_the_network() {
    let lab = lay().unwrap();
    let _captures = lab.capture().unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let _switch = behind_a_trunk(lab.host("acme"), 102).unwrap();
    let daemon = Daemon::start(lab.gateway(), &on_vlan(101)).unwrap();
    for endpoint in ENDPOINT {
        let page = lab.host("acme").run(|| client::http_get(at(endpoint, 80), NEVER));
        assert!(page.is_err(), "{page:?}");
    }
    everything_works(lab.host("globex")).unwrap();
    assert_eq!(daemon.drops().unwrap(), 0);
}
