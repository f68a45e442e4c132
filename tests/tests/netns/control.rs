//! Control messages through the gateway, between real stacks.

use privatelink_tests::lab::{Host, tool};

use crate::fixture::{CONFIG, ENDPOINT, Scene};

/// Pings an address three times with this many bytes.
fn ping(host: &Host, address: &str, bytes: u32) -> Result<String, tool::ToolError> {
    let mut command = host.command("ping");
    let size = bytes.to_string();
    tool::run(command.args(["-n", "-c", "3", "-i", "0.1", "-W", "2", "-s", &size, address]))
}

#[test]
fn endpoints_answer_ping() {
    let scene = Scene::start().unwrap();
    for endpoint in ENDPOINT {
        for bytes in [0, 56, 1400] {
            let said = ping(scene.acme(), endpoint, bytes).unwrap();
            assert!(said.contains(" 0% packet loss"), "{said}");
            assert!(bytes < 16 || said.contains("ttl=64"), "{said}");
        }
    }
    assert_eq!(scene.daemon.drops().unwrap(), 0);
}

#[test]
fn source_addresses_answer_the_provider() {
    let scene = Scene::start().unwrap();
    for source in ["10.0.0.241", "fd00::f1"] {
        let said = ping(scene.lab.host("vendor"), source, 1400).unwrap();
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
}

#[test]
fn an_endpoint_that_waits_answers_unless_it_is_to_be_silent() {
    let pending = CONFIG.replace("acceptance = \"automatic\"", "acceptance = \"manual\"");
    for (on_pending, answered) in [("reset", true), ("drop", false)] {
        let line = format!("acceptance = \"manual\"\non_pending = \"{on_pending}\"");
        let config = pending.replace("acceptance = \"manual\"", &line);
        let scene = Scene::with(&config).unwrap();
        for endpoint in ENDPOINT {
            let result = ping(scene.acme(), endpoint, 56);
            assert_eq!(result.is_ok(), answered, "{result:?}");
        }
        let drops = if answered { 0 } else { 6 };
        assert_eq!(scene.daemon.drops().unwrap(), drops);
    }
}
