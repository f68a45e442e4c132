//! One valid configuration, what is made of it, and what is said of damaged ones.

mod authority;
mod backbone;
mod names;
mod pages;
mod rules;
mod schema;

use std::fs;

use proptest::prelude::*;

use super::{Diagnostics, ObjectKind, from_text, load};
use crate::{
    cli::{commands::check::CheckArgs, exit::Exit},
    model::{AddressPair, EndpointAddresses, IdleTimeout, Limits, OnReject, Principals},
};

const VALID: &str = r#"
[gateway]
name = "gw-a"

[[network]]
name = "acme"
principal = "acme"
interface = "eth1"
subnets = ["10.1.0.0/24", "fd00:1::/64"]

[[network]]
name = "vendor"
principal = "vendor"
interface = "eth2"
subnets = ["10.0.0.0/24"]
gateway = "10.0.0.1"

[[service]]
name = "web"
principal = "vendor"
network = "vendor"
allow = ["acme"]
accept = ["acme"]
source_addresses = ["10.0.0.240/29"]
on_reject = "reset"

[[service.listener]]
protocol = "tcp"
port = 80

[[service.listener]]
protocol = "tcp"
ports = "9092-9099"
target_port = "19092-19099"
idle_timeout = "350s"

[[service.target]]
address = "10.0.0.10"

[service.health_check]
protocol = "http"
path = "/healthz"
interval = "10s"
timeout = "5s"

[[endpoint]]
name = "acme-web"
service = "web"
network = "acme"
addresses = ["10.1.0.50", "fd00:1::50"]
allow = [{ from = "10.1.0.0/24", ports = ["80"] }]
limits = { flows = 100_000, bits_per_second = "10G" }
"#;

/// The faults as `(message, underlined text)`; each must say what to do.
fn faults(text: &str) -> Vec<(String, String)> {
    let Err(diagnostics) = from_text("gw.toml", text) else { return Vec::new() };
    let json = diagnostics.to_json();
    let field =
        |fault: &serde_json::Value, key: &str| fault[key].as_str().unwrap_or_default().to_owned();
    for fault in &json {
        assert!(fault["help"].is_string() || fault["label"].is_string(), "no advice: {fault}");
    }
    json.iter().map(|fault| (field(fault, "message"), field(fault, "text"))).collect()
}

#[test]
fn the_model_holds_what_was_written_and_the_defaults() {
    let model = from_text("gw.toml", VALID).unwrap().model;
    assert_eq!(model.gateway().max_flows.get(), 1_000_000);
    assert_eq!(model.gateway().metrics, None);
    let service = &model.services()["web"];
    assert_eq!(service.source_addresses.len(), 8);
    assert_eq!(service.source_addresses[0].to_string(), "10.0.0.240");
    assert_eq!(service.drain.get().as_secs(), 300);
    assert_eq!(service.on_reject, OnReject::Reset);
    assert!(matches!(&service.allow, Principals::Only(names) if names.contains("acme")));
    let ports: Vec<_> = service.listeners.iter().map(|l| l.target_ports.to_string()).collect();
    assert_eq!(ports, ["80", "19092-19099"]);
    assert_eq!(service.listeners[0].idle_timeout, IdleTimeout::constant::<350_000>());
    let endpoint = &model.endpoints()["acme-web"];
    assert!(matches!(endpoint.addresses, EndpointAddresses::Fixed(AddressPair::Both(..))));
    assert_eq!(endpoint.limits.bits_per_second.unwrap().get(), 10_000_000_000);
    assert_ne!(endpoint.limits, Limits::default());
}

#[test]
fn faults_are_shown_with_line_text_and_advice() {
    let text = VALID.replacen("service = \"web\"", "service = \"wen\"", 1);
    let expected = "\
error: there is no service `wen`
  --> gw.toml:48:11
   |
48 | service = \"wen\"
   |           ^^^^^ not defined in any file
   |
   = help: did you mean `web`?

1 error
";
    assert_eq!(from_text("gw.toml", &text).unwrap_err().to_string(), expected);
}

#[test]
fn both_places_of_a_conflict_are_shown() {
    let text = VALID.replacen("eth2", "eth1", 1);
    let shown = from_text("gw.toml", &text).unwrap_err().to_string();
    let expected = "\
error: the networks `acme` and `vendor` are both attached to interface eth1
  --> gw.toml:14:13
   |
 8 | interface = \"eth1\"
   |             ------ first used here
...
14 | interface = \"eth1\"
   |             ^^^^^^
   |
   = help: give each network an interface of its own, or a `vlan` of its own on it
";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn a_directory_is_merged_in_name_order_and_checked_across_files() {
    let dir = tempfile::tempdir().unwrap();
    let (head, endpoints) = VALID.split_at(VALID.find("[[endpoint]]").unwrap());
    fs::write(dir.path().join("10-base.toml"), head).unwrap();
    fs::write(dir.path().join("20-acme.toml"), endpoints).unwrap();
    fs::write(dir.path().join(".20-acme.toml"), "half-written").unwrap();
    fs::write(dir.path().join("notes.txt"), "not configuration").unwrap();
    let loaded = load(dir.path()).unwrap();
    assert_eq!(loaded.model.endpoints().len(), 1);
    let names: Vec<_> = loaded.sources.texts().filter_map(|(path, _)| path.file_name()).collect();
    assert_eq!(names, ["10-base.toml", "20-acme.toml"]);

    fs::write(dir.path().join("30-dup.toml"), format!("{endpoints}\n[gateway]\nname = \"b\""))
        .unwrap();
    let json = load(dir.path()).unwrap_err().to_json();
    let files: Vec<_> = json.iter().map(|f| f["file"].as_str().unwrap()).collect();
    assert_eq!(files.len(), 2, "{json:?}");
    assert!(files.iter().all(|file| file.ends_with("30-dup.toml")), "{json:?}");
}

#[test]
fn a_file_that_is_not_toml_does_not_make_others_look_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (head, endpoints) = VALID.split_at(VALID.find("[[endpoint]]").unwrap());
    fs::write(dir.path().join("a.toml"), format!("{head}\n= 1")).unwrap();
    fs::write(dir.path().join("b.toml"), endpoints.replace("flows", "flow")).unwrap();
    let diagnostics = load(dir.path()).unwrap_err();
    let shown = diagnostics.to_string();
    assert!(shown.contains("not valid TOML") && shown.contains("no key `flow`"), "{shown}");
    assert!(!shown.contains("there is no"), "{shown}");
}

#[test]
fn a_path_without_configuration_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let shown =
        |result: Result<_, Diagnostics>| result.map(|_: super::Loaded| ()).unwrap_err().to_string();
    assert!(shown(load(dir.path())).contains("has no *.toml file"));
    assert!(shown(load(&dir.path().join("none.toml"))).contains("none.toml`: No such file"));
    fs::write(dir.path().join("bytes.toml"), [0xff, 0xfe]).unwrap();
    assert!(shown(load(dir.path())).contains("save the file as UTF-8 text"));
}

#[test]
fn later_stages_can_point_at_what_they_refuse() {
    let loaded = from_text("gw.toml", VALID).unwrap();
    let name = loaded.model.services()["web"].name.clone();
    for (key, text) in [
        ("network", "\"vendor\""),
        ("listener.1.ports", "\"9092-9099\""),
        ("health_check.path", "\"/healthz\""),
        ("health_check.port", "[service.health_check]"),
        ("fail_open", "[[service]]"),
    ] {
        let refused =
            loaded.sources.refuse(ObjectKind::Service, &name, key, "not supported", "leave it out");
        assert_eq!(refused.to_json()[0]["text"], text, "{key}");
    }
}

#[test]
fn check_answers_for_people_and_for_scripts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gw.toml");
    let answer = |json, deny_warnings| {
        let (mut out, mut faults) = (Vec::new(), Vec::new());
        let args = CheckArgs { path: path.clone(), deny_warnings, no_host: true };
        let exit = args.check(json, &mut out, &mut faults, false).unwrap();
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(faults).unwrap())
    };
    let run = |json| answer(json, false);
    let valid = include_str!("../../../../examples/quickstart.toml");
    fs::write(&path, valid).unwrap();
    let (exit, out, _) = run(false);
    assert_eq!(
        (exit, out.ends_with("gw.toml: 2 networks, 1 service, 1 endpoint: ok\n")),
        (Exit::Done, true)
    );
    let (exit, out, _) = run(true);
    assert_eq!(
        (exit, out.trim()),
        (
            Exit::Done,
            r#"{"endpoints":1,"networks":2,"ok":true,"services":1,"warning_details":[],"warnings":[]}"#
        )
    );
    fs::write(&path, valid.replace("allow = [\"acme\"]", "allow = [\"acme\", \"amce\"]")).unwrap();
    let (exit, out, faults) = answer(false, false);
    assert!(exit == Exit::Done && out.ends_with(": ok\n"), "{out}");
    assert!(faults.starts_with("warning: the service `web`: `allow` lists `amce`"), "{faults}");
    assert!(faults.contains("help: did you mean `acme`?") && faults.ends_with("1 warning\n"));
    let (exit, out, _) = answer(false, true);
    assert!(exit == Exit::Failed && out.ends_with(": refused, because of --deny-warnings\n"));
    let (exit, out, _) = answer(true, true);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(exit == Exit::Failed && json["ok"] == false, "{out}");
    assert_eq!(json["warning_details"][0]["text"], "[\"acme\", \"amce\"]");
    fs::write(&path, valid.replace("veth-vendor", "veth-acme")).unwrap();
    let (exit, out, faults) = run(false);
    assert!(exit == Exit::Failed && out.is_empty() && faults.contains("1 error"));
    let (exit, out, faults) = run(true);
    assert!(exit == Exit::Failed && out.contains(r#""line":19"#) && faults.is_empty(), "{out}");
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,400}") {
        if let Err(faults) = from_text("any.toml", &text) {
            prop_assert!(!faults.render(true).is_empty());
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Err(faults) = from_text("any.toml", &text) {
            prop_assert_eq!(faults.to_json().len(), faults.count());
            prop_assert!(!faults.render(false).is_empty());
        }
    }

    /// Damage to a valid file reaches further than noise does.
    #[test]
    fn any_damage_is_answered(
        at in 0..VALID.len(), len in 0..40usize, noise in "[\\[\\]{}=\"'.,*0-9a-z\n/:-]{0,8}",
    ) {
        let end = (at + len).min(VALID.len());
        let text = format!("{}{noise}{}", &VALID[..at], &VALID[end..]);
        match from_text("gw.toml", &text) {
            Ok(loaded) => prop_assert!(loaded.model.networks().len() <= 4),
            Err(faults) => prop_assert!(faults.count() > 0 && !faults.to_string().is_empty()),
        }
    }
}
