//! `privatelink plan` and `reload`: what changes, what that cuts, and that an error changes
//! nothing.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{fs, process::Command};

use privatelink_tests::lab::{client, tool};
use serde_json::{Value, json};

use crate::fixture::{CONFIG, ENDPOINT, NEVER, SOON, Scene, at, everything_works};

/// The configuration without globex's endpoint, and with another weight of the first target.
fn smaller() -> String {
    let (rest, _) = CONFIG.split_once("[[endpoint]]\nname = \"globex-web\"").unwrap();
    rest.replacen("address = \"10.0.0.10\"\n", "address = \"10.0.0.10\"\nweight = 7\n", 1)
}

/// Exit code, standard output and standard error.
fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn change(changes: &Value, kind: &str) -> Value {
    let changes = changes["changes"].as_array().unwrap();
    let found: Vec<_> = changes.iter().filter(|change| change["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{changes:?}");
    found[0].clone()
}

#[test]
fn a_plan_shows_what_a_reload_does_and_changes_nothing() {
    let scene = Scene::start().unwrap();
    let flows: Vec<_> = ["acme", "globex"]
        .map(|host| {
            let host = scene.lab.host(host);
            let stream = host.run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
            client::tcp_exchange(&stream, 1_000, 1).unwrap();
            stream
        })
        .into();
    let unchanged =
        json!({ "changes": [], "flows_cut": 0, "flows_drained": 0, "entries": 0, "warnings": [] });
    assert_eq!(scene.daemon.ask(&["plan", "--json"]).unwrap(), unchanged);
    assert_eq!(scene.daemon.ask(&["reload", "--json"]).unwrap(), unchanged);

    scene.daemon.write_config(&smaller()).unwrap();
    let plan = scene.daemon.ask(&["plan", "--json"]).unwrap();
    let endpoint = change(&plan, "endpoint");
    assert_eq!((&endpoint["action"], &endpoint["name"]), (&json!("removed"), &json!("globex-web")));
    assert_eq!((&endpoint["flows_cut"], &plan["flows_cut"]), (&json!(1), &json!(1)), "{plan}");
    let target = change(&plan, "target");
    assert_eq!((&target["name"], &target["flows_cut"]), (&json!("web 10.0.0.10"), &json!(0)));
    assert_eq!(target["what"], json!(["weight 100 -> 7"]));
    for flow in &flows {
        client::tcp_exchange(flow, 1_000, 2).unwrap();
    }

    // The same as text.
    let (code, text, _) = outcome(scene.daemon.cli().arg("plan"));
    assert_eq!(code, Some(0));
    assert!(text.contains("globex-web") && text.contains("1 live flow would be cut"), "{text}");

    let done = scene.daemon.ask(&["reload", "--json"]).unwrap();
    assert_eq!(done, plan);
    client::tcp_exchange(&flows[0], 1_000, 3).unwrap();
    flows[1].set_read_timeout(Some(NEVER)).unwrap();
    client::tcp_exchange(&flows[1], 1_000, 3).unwrap_err();
    everything_works(scene.acme()).unwrap();
    assert_eq!(scene.daemon.ask(&["plan", "--json"]).unwrap(), unchanged);
}

#[test]
fn a_faulty_configuration_is_shown_and_never_applied() {
    let scene = Scene::start().unwrap();
    scene
        .daemon
        .write_config(&smaller().replace("service = \"web\"", "service = \"wbe\""))
        .unwrap();
    for command in ["plan", "reload"] {
        let (code, out, error) = outcome(scene.daemon.cli().arg(command));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{error}");
        assert!(error.contains("did you mean `web`?"), "{error}");
        assert!(error.contains("stays as it is"), "{error}");
        let (code, out, error) = outcome(scene.daemon.cli().args([command, "--json"]));
        assert_eq!((code, error.as_str()), (Some(1), ""));
        let answer: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(answer["ok"], false);
        assert!(answer["errors"][0]["line"].is_u64(), "{answer}");
    }
    everything_works(scene.lab.host("globex")).unwrap();
    assert_eq!(scene.daemon.ask(&["endpoints", "--json"]).unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn a_plan_of_other_files_reads_them_for_the_daemon() {
    let scene = Scene::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let configured = fs::read_to_string(scene.daemon.config()).unwrap();
    fs::write(folder.path().join("10.toml"), configured).unwrap();
    fs::write(
        folder.path().join("20.toml"),
        "[[endpoint]]\nname = \"third\"\nservice = \"web\"\nnetwork = \"acme\"\naddresses = [\"10.1.0.51\"]\n",
    )
    .unwrap();
    let plan = tool::run(scene.daemon.cli().arg("plan").arg("--json").arg(folder.path())).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let added = change(&plan, "endpoint");
    assert_eq!((&added["action"], &added["name"]), (&json!("added"), &json!("third")));
    assert_eq!(plan["entries"], 5, "an endpoint, its address, and the shares of all three: {plan}");
    let absent = folder.path().join("absent.toml");
    let (code, _, error) = outcome(scene.daemon.cli().arg("plan").arg(absent));
    assert_eq!(code, Some(1));
    assert!(error.contains("cannot read"), "{error}");
}

#[test]
fn without_a_daemon_the_exit_code_says_so() {
    let mut scene = Scene::start().unwrap();
    scene.daemon.terminate();
    let commands = ["plan", "reload", "networks", "services", "endpoints", "targets", "flows"];
    for command in commands {
        let (code, out, error) = outcome(scene.daemon.cli().arg(command));
        assert_eq!((code, out.as_str()), (Some(3), ""), "{command}: {error}");
        assert!(error.contains("privatelink run"), "{command}: {error}");
    }
}

#[test]
fn lists_have_the_shapes_that_scripts_rely_on() {
    let scene = Scene::start().unwrap();
    let stream = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
    client::tcp_exchange(&stream, 1_000, 1).unwrap();
    for (kind, names, keys) in [
        ("networks", vec!["acme", "globex", "initech", "vendor"], vec!["interface", "xdp_mode"]),
        ("services", vec!["web"], vec!["listeners", "targets", "acceptance"]),
        (
            "endpoints",
            vec!["acme-web", "globex-web"],
            vec!["service", "network", "addresses", "state", "dns_names", "active_flows"],
        ),
    ] {
        let all = scene.daemon.ask(&[kind, "--json"]).unwrap();
        let found: Vec<_> = all.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(found, names);
        for name in names {
            let one = scene.daemon.ask(&[kind, name, "--json"]).unwrap();
            assert_eq!(one["name"], name);
            assert!(keys.iter().all(|key| one.get(key).is_some()), "{one}");
            let (code, text, _) = outcome(scene.daemon.cli().args([kind, name]));
            assert!(code == Some(0) && text.contains(name), "{text}");
        }
        let (code, _, error) = outcome(scene.daemon.cli().args([kind, "absent"]));
        assert_eq!(code, Some(1));
        assert!(error.contains("absent"), "{error}");
    }
    let targets = scene.daemon.ask(&["targets", "web", "--json"]).unwrap();
    let targets = targets.as_array().unwrap();
    assert_eq!(targets.len(), 4, "two addresses, two ports each: {targets:?}");
    let of = |port: u16| {
        let found = targets.iter().find(|one| one["address"] == "10.0.0.10" && one["port"] == port);
        found.unwrap().clone()
    };
    assert_eq!((&of(7777)["active_flows"], &of(8080)["active_flows"]), (&json!(1), &json!(0)));
    assert_eq!((&of(7777)["health"], &of(7777)["weight"]), (&json!("healthy"), &json!(100)));
    assert!(of(7777)["reason"].is_string());
}

#[test]
fn a_list_of_flows_is_bounded_and_says_so() {
    let scene = Scene::start().unwrap();
    let streams: Vec<_> = (0..5)
        .map(|_| {
            let stream = scene.acme().run(|| client::connect(at(ENDPOINT[0], 7), SOON)).unwrap();
            client::tcp_exchange(&stream, 100, 1).unwrap();
            stream
        })
        .collect();
    let (code, out, error) =
        outcome(scene.daemon.cli().args(["flows", "acme-web", "--json", "--limit", "2"]));
    assert_eq!(code, Some(0));
    let flows: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(flows.as_array().unwrap().len(), 2);
    assert!(error.contains("3 more"), "{error}");
    let all = scene.daemon.ask(&["flows", "--json"]).unwrap();
    assert_eq!(all.as_array().unwrap().len(), streams.len());
}

#[test]
fn the_gateway_itself_is_no_target() {
    let own = CONFIG.replacen("address = \"10.0.0.10\"", "address = \"10.0.0.1\"", 1);
    assert_ne!(own, CONFIG);
    let scene = Scene::start().unwrap();
    scene.daemon.write_config(&own).unwrap();
    for command in ["plan", "reload"] {
        let output = scene.daemon.cli().arg(command).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let message = "the target 10.0.0.1 of the service `web` is the gateway itself";
        assert!(said.contains(message), "{said}");
    }
    drop(scene);
    // A daemon that starts with it sends nothing there, and says so.
    let scene = Scene::with(&own).unwrap();
    let problems = scene.daemon.status().unwrap()["problems"].to_string();
    assert!(problems.contains("target 10.0.0.1 is the gateway itself"), "{problems}");
}
