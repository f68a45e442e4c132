//! Which clients an endpoint without security rules serves: those of its network, and those that
//! the configuration says are routed to it.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::net::UdpSocket;

use privatelink_tests::lab::{client, wait_until};

use crate::fixture::{CONFIG, ENDPOINT, NEVER, SOON, Scene, at, everything_works, reload};

/// Addresses that no host of the consumer's network has, two of each family.
const STRANGERS: [[&str; 2]; 2] = [["8.8.8.8", "10.2.0.2"], ["2001:db8::8", "fd00:2::2"]];

const ATTACHED: &str = "name = \"acme\"\nprincipal = \"acme\"\n";

/// The configuration with a further line for the consumer's network.
fn with(line: &str) -> String {
    assert!(CONFIG.contains(ATTACHED), "{CONFIG}");
    CONFIG.replacen(ATTACHED, &format!("{ATTACHED}{line}\n"), 1)
}

/// Speaks to the endpoint of the family as a client of this address.
fn speak(scene: &Scene, from: &str, family: usize) -> bool {
    let spoken = scene.acme().run(|| {
        let socket = UdpSocket::bind(at(from, 0))?;
        socket.connect(at(ENDPOINT[family], 7))?;
        socket.set_read_timeout(Some(NEVER))?;
        client::udp_exchange(&socket, b"hello?", NEVER)
    });
    spoken.is_ok()
}

fn refused(scene: &Scene) -> u64 {
    scene.daemon.status().unwrap()["drops"]["not_allowed"].as_u64().unwrap()
}

#[test]
fn an_endpoint_without_rules_serves_its_networks_clients_only() {
    let scene = Scene::start().unwrap();
    let device = "eth0";
    for address in STRANGERS.as_flattened() {
        let length = if address.contains(':') { "128 nodad" } else { "32" };
        scene.acme().namespace().ip(&format!("addr add {address}/{length} dev {device}")).unwrap();
    }
    for (family, strangers) in STRANGERS.iter().enumerate() {
        for stranger in strangers {
            let before = refused(&scene);
            assert!(!speak(&scene, stranger, family), "{stranger} opened a flow");
            assert!(refused(&scene) > before, "what {stranger} sent was not counted");
        }
    }
    everything_works(scene.acme()).unwrap();

    // Those that are routed are listed, and the others stay out.
    let routed = with("reachable_from = [\"8.8.0.0/16\", \"2001:db8::/64\"]");
    reload(&scene.daemon, &routed).unwrap();
    for (family, [listed, other]) in STRANGERS.iter().enumerate() {
        wait_until(SOON, "a routed client to be served", || speak(&scene, listed, family)).unwrap();
        assert!(!speak(&scene, other, family), "{other} opened a flow");
    }

    // A flow of a client that is no longer listed ends at once.
    reload(&scene.daemon, CONFIG).unwrap();
    for (family, [listed, _]) in STRANGERS.iter().enumerate() {
        assert!(!speak(&scene, listed, family), "{listed} opened a flow");
    }
    let flows = scene.daemon.ask(&["flows", "--json"]).unwrap();
    let flows = flows.to_string();
    assert!(!flows.contains("8.8.8.8") && !flows.contains("2001:db8::8"), "{flows}");
    everything_works(scene.acme()).unwrap();
}
