//! Lists of flows, and the consumer behind a source address that the provider sees.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{net::SocketAddr, process::Command};

use privatelink_tests::lab::{client, tool, wait_until};
use serde_json::Value;

use crate::fixture::{CONFIG, ENDPOINT, SOON, Scene, at};

/// Users that every Debian has, and that cannot log in.
const VENDOR: &str = "games";
const ACME: &str = "mail";

fn config(log: &std::path::Path) -> String {
    let principal = |name: &str, user: &str| {
        format!("[[principal]]\nname = \"{name}\"\nusers = [\"{user}\"]\n")
    };
    let log = format!("\n[gateway.flow_log]\nto = \"{}\"\n", log.display());
    CONFIG.to_owned() + &log + &principal("vendor", VENDOR) + &principal("acme", ACME)
}

/// Exit code, and what was printed on either stream.
fn outcome(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let both = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&both).into_owned())
}

#[test]
fn a_provider_learns_who_uses_and_who_used_an_address() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("flows.log");
    let scene = Scene::with(&config(&log)).unwrap();
    scene.daemon.open_to_all().unwrap();
    // Two consumers with the same address, and the same port.
    let echo = at(ENDPOINT[0], 7);
    let talks = ["acme", "globex"].map(|name| {
        let stream = scene.lab.host(name).run(|| client::connect(echo, SOON)).unwrap();
        client::tcp_exchange(&stream, 1_000, 1).unwrap();
        stream
    });
    let all = scene.daemon.ask(&["flows", "--json"]).unwrap();
    let source_of = |endpoint: &str| {
        let flow = all.as_array().unwrap().iter().find(|flow| flow["endpoint"] == endpoint);
        flow.unwrap()["source"].as_str().unwrap().to_owned()
    };
    for (endpoint, principal, stream) in
        [("acme-web", "acme", &talks[0]), ("globex-web", "globex", &talks[1])]
    {
        let source = source_of(endpoint);
        let mut asked = scene.daemon.cli_as(VENDOR).unwrap();
        let text = tool::run(asked.args(["whois", &source, "--json"])).unwrap();
        let found: Value = serde_json::from_str(&text).unwrap();
        let client = stream.local_addr().unwrap().to_string();
        for (key, value) in [
            ("endpoint", endpoint),
            ("network", principal),
            ("principal", principal),
            ("client", &client),
            ("service", "web"),
            ("target", "10.0.0.10:7777"),
            ("provider_network", "vendor"),
        ] {
            assert_eq!(found[key], value, "{found}");
        }
        // A consumer may not ask about source addresses.
        let (code, said) = outcome(scene.daemon.cli_as(ACME).unwrap().args(["whois", &source]));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("no service that you may see has the source address"), "{said}");
    }

    // After the flow has ended, the log has it.
    let source = source_of("acme-web");
    scene.daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
    let (code, said) = outcome(scene.daemon.cli_as(VENDOR).unwrap().args(["whois", &source]));
    assert_eq!(code, Some(1), "{said}");
    let since = |user: &str| {
        let mut asked = scene.daemon.cli_as(user).unwrap();
        let text = tool::run(asked.args(["whois", &source, "--since", "10m", "--json"])).unwrap();
        serde_json::from_str::<Vec<Value>>(&text).unwrap()
    };
    wait_until(SOON, "the log has the flow", || since(VENDOR).len() == 1).unwrap();
    assert!(since(ACME).is_empty());
    let [past] = since(VENDOR).try_into().unwrap();
    assert_eq!(past["client"], talks[0].local_addr().unwrap().to_string());
    assert_eq!(past["live"], false);
    let then = past["opened"].as_str().unwrap();
    past_and_foreign(&scene, &source, then, &talks[0].local_addr().unwrap().to_string());
}

/// Asks for a flow of the past, and for addresses that are no source addresses.
fn past_and_foreign(scene: &Scene, source: &str, then: &str, client: &str) {
    let at_that_time = scene.daemon.ask(&["whois", source, "--at", then, "--json"]).unwrap();
    assert_eq!(at_that_time["endpoint"], "acme-web");
    let (code, said) = outcome(scene.daemon.cli().args(["whois", source, "--at", "1h"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no flow used"), "{said}");
    let nearest = format!("the nearest is of client {client}");
    assert!(said.contains(&nearest), "{said}");

    // A time without a fraction is that whole second.
    let second = then.split('.').next().unwrap().to_owned() + "Z";
    for spelling in [second.clone(), second.replace('T', " ").replace('Z', "")] {
        let found = scene.daemon.ask(&["whois", source, "--at", &spelling, "--json"]).unwrap();
        assert_eq!(found["endpoint"], "acme-web", "{spelling}");
    }

    // Addresses that are none of the gateway's are answered with those that are.
    let (code, said) = outcome(scene.daemon.cli().args(["whois", "10.0.0.10:7777"]));
    assert_eq!(code, Some(1), "{said}");
    let expected = "10.0.0.10 is a target of service web, and no source address: ";
    assert!(said.contains(expected) && said.contains("web has 10.0.0.240 to "), "{said}");
    let (code, said) = outcome(scene.daemon.cli().args(["whois", "192.0.2.1:7"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has the source address 192.0.2.1: web has "), "{said}");
}

#[test]
fn flows_are_found_by_what_is_known_of_them() {
    let scene = Scene::start().unwrap();
    let mut open = Vec::new();
    for endpoint in ENDPOINT {
        let echo = at(endpoint, 7);
        open.push(scene.acme().run(|| client::connect(echo, SOON)).unwrap());
        scene.acme().run(|| client::udp_echo(echo, b"ping", SOON)).unwrap();
        scene.acme().run(|| client::http_get(at(endpoint, 80), SOON)).unwrap();
    }
    let found = |words: &[&str]| {
        let all = scene.daemon.ask(&[&["flows", "--json"], words].concat()).unwrap();
        all.as_array().unwrap().clone()
    };
    assert_eq!(found(&[]).len(), 6);
    assert_eq!(found(&["--protocol", "udp"]).len(), 2);
    assert_eq!(found(&["--port", "7777"]).len(), 4);
    assert_eq!(found(&["--address", "fd00::10"]).len(), 3);
    assert_eq!(found(&["--address", "fd00::10", "--state", "closing"]).len(), 1);
    assert_eq!(found(&["globex-web"]).len(), 0);
    let local: SocketAddr = open[0].local_addr().unwrap();
    let port = local.port().to_string();
    let [flow] = found(&["--port", &port, "--protocol", "tcp"]).try_into().unwrap();
    assert_eq!(flow["client"], local.to_string());
    assert_eq!(flow["state"], "established");
    let (code, said) = outcome(scene.daemon.cli().args(["flows", "--limit", "4"]));
    assert_eq!((code, said.lines().count()), (Some(0), 6), "{said}");
    assert!(said.contains("2 more"), "{said}");
    for (path, code) in [("/v1/flows?state=fast", 400), ("/v1/whois?source=1.2.3.4", 400)] {
        assert_eq!(scene.daemon.request("GET", path, None).unwrap().0, code, "{path}");
    }
}
