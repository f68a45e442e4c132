//! Who may declare what: owners of networks, publishers, and files that speak for one principal.

use super::{VALID, faults};
use crate::config::from_texts;

/// The faults of several files, as `(file, message)`.
fn of_files(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let files = files.iter().map(|(path, text)| ((*path).into(), (*text).to_owned()));
    let Err(diagnostics) = from_texts(files) else { return Vec::new() };
    let field =
        |fault: &serde_json::Value, key: &str| fault[key].as_str().unwrap_or_default().to_owned();
    let all = diagnostics.to_json();
    assert!(all.iter().all(|fault| fault["help"].is_string()), "{all:?}");
    all.iter().map(|fault| (field(fault, "file"), field(fault, "message"))).collect()
}

/// The operator's file, which binds two others, and those two.
fn files<'a>(binding: &'a str, vendor: &'a str, acme: &'a str) -> Vec<(String, String)> {
    let (head, rest) = VALID.split_at(VALID.find("[[service]]").unwrap());
    let (service, endpoint) = rest.split_at(rest.find("[[endpoint]]").unwrap());
    let operator = format!("{head}\n{binding}");
    let (vendor, acme) = (format!("{vendor}\n{service}"), format!("{acme}\n{endpoint}"));
    of_files(&[
        ("etc/10-gateway.toml", &operator),
        ("etc/20-vendor.toml", &vendor),
        ("etc/30-acme.toml", &acme),
    ])
}

const BINDING: &str = "[[principal]]\nname = \"vendor\"\nfiles = [\"20-vendor.toml\"]\n\
                       [[principal]]\nname = \"acme\"\nfiles = [\"30-acme.toml\"]\n";

#[test]
fn a_file_may_speak_for_one_principal() {
    assert_eq!(files("", "", ""), []);
    assert_eq!(files(BINDING, "", ""), []);
    assert_eq!(files("", "authority = \"vendor\"", "authority = \"acme\""), []);
    // Each says the same once more.
    assert_eq!(files(BINDING, "authority = \"vendor\"", "authority = \"acme\""), []);
}

#[test]
fn what_is_another_principals_is_refused() {
    let service = "[[service]]\nname = \"evil\"\nprincipal = \"acme\"\nnetwork = \"acme\"\n\
                   allow = [\"*\"]\nsource_addresses = [\"10.1.0.240\"]\n\
                   [[service.listener]]\nprotocol = \"tcp\"\nport = 80\n\
                   [[service.target]]\naddress = \"10.1.0.2\"\n";
    let endpoint = "[[endpoint]]\nname = \"evil\"\nservice = \"web\"\nnetwork = \"acme\"\n";
    let weighted = "[[endpoint]]\nname = \"evil\"\nservice = \"web\"\nnetwork = \"vendor\"\n\
                    weight = 2\n";
    let network = "[[network]]\nname = \"evil\"\nprincipal = \"acme\"\ninterface = \"eth9\"\n\
                   subnets = [\"10.9.0.0/24\"]\n";
    let member = "[[principal]]\nname = \"acme\"\nusers = [\"vendor-ops\"]\n";
    let unbinding = "[[principal]]\nname = \"vendor\"\nfiles = []\n";
    let binding_others = "[[principal]]\nname = \"vendor\"\nfiles = [\"30-acme.toml\"]\n";
    for (text, message) in [
        (service, "the service belongs to `acme`, but this file speaks for `vendor`"),
        (endpoint, "the endpoint is in the network `acme` of `acme`, but this file speaks for"),
        (network, "the network belongs to `acme`, but this file speaks for `vendor`"),
        (member, "this is the principal `acme`, but this file speaks for `vendor`"),
        (unbinding, "the principal `vendor` is defined twice"),
        (binding_others, "the operator says for whom files speak, but this file"),
        (weighted, "the operator says how endpoints share the gateway, but this file speaks for"),
        ("[gateway]\nname = \"mine\"\n", "the gateway's settings are the operator's, but this"),
        ("authority = \"acme\"\n", "the file `20-vendor.toml` speaks for both `acme` and `vendor`"),
    ] {
        let found = files(BINDING, text, "");
        let said = found.iter().any(|(_, one)| one.starts_with(message));
        assert!(said, "{text}: {found:?}");
    }
    // Without the binding, the same is accepted.
    assert_eq!(files("", endpoint, ""), []);
}

#[test]
fn a_file_that_does_not_exist_binds_nobody_and_is_named() {
    let found = files(&BINDING.replace("20-vendor", "20-vender"), "", "");
    let message = "there is no file `20-vender.toml` in this configuration".to_owned();
    assert_eq!(found, [("etc/10-gateway.toml".to_owned(), message)]);
}

#[test]
fn only_the_owner_and_its_publishers_may_publish_in_a_network() {
    let other =
        VALID.replacen("principal = \"vendor\"\nnetwork", "principal = \"other\"\nnetwork", 1);
    assert_ne!(other, VALID);
    let message =
        "the service `web` of `other` is in the network `vendor`, which belongs to `vendor`";
    assert_eq!(faults(&other), [(message.to_owned(), "\"other\"".to_owned())]);
    let subnets = "interface = \"eth2\"\n";
    let listed = other.replacen(subnets, &format!("{subnets}publishers = [\"other\"]\n"), 1);
    assert_ne!(listed, other);
    assert_eq!(faults(&listed), []);
}

#[test]
fn a_broadcast_address_is_no_target() {
    for (address, end) in [
        ("10.0.0.255", "network or broadcast address of 10.0.0.0/24"),
        ("10.0.0.0", "network or broadcast address of 10.0.0.0/24"),
        ("255.255.255.255", "a multicast or broadcast address"),
        ("0.0.0.0", "the unspecified address"),
        ("127.0.0.1", "a loopback address"),
        ("224.0.0.1", "a multicast or broadcast address"),
    ] {
        let text =
            VALID.replacen("address = \"10.0.0.10\"", &format!("address = \"{address}\""), 1);
        let found = faults(&text);
        assert!(found.iter().any(|(message, _)| message.ends_with(end)), "{address}: {found:?}");
    }
}

#[test]
fn names_that_no_provider_may_have_are_shown_where_they_are_written() {
    for name in ["*.com", "localhost", "wpad.internal", "co.uk", "1.0.10.in-addr.arpa"] {
        let network = "principal = \"vendor\"\nnetwork = \"vendor\"\n";
        let named = format!("{network}private_dns = [\"{name}\"]\n");
        let start = VALID.find("[[service]]").unwrap();
        let (head, service) = VALID.split_at(start);
        let lines = service.lines().filter(|line| !line.starts_with("private_dns"));
        let service: String = lines.map(|line| format!("{line}\n")).collect();
        let text = head.to_owned() + &service.replacen(network, &named, 1);
        let found = faults(&text);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].0.starts_with(&format!("`{name}` cannot be a private name")), "{found:?}");
        assert_eq!(found[0].1, format!("\"{name}\""));
    }
}

#[test]
fn secrets_of_urls_are_not_shown() {
    for url in [
        "https://user:s3cret@hooks.example/x",
        "ftp://hooks.example/s3cret?k=s3cret",
        "https://u:s3cret/s3cret",
    ] {
        let text = VALID.replacen("[gateway]\n", &format!("[gateway]\nwebhook = \"{url}\"\n"), 1);
        let diagnostics = crate::config::from_text("gw.toml", &text).unwrap_err();
        let shown = [
            diagnostics.render(false),
            diagnostics.brief(),
            serde_json::Value::from(diagnostics.to_json()).to_string(),
        ];
        for text in shown {
            assert!(!text.contains("s3cret"), "{text}");
            assert!(text.contains("http or https address"), "{text}");
        }
    }
}

#[test]
fn what_is_beyond_a_quota_is_named() {
    let quota = |quota: &str| {
        files(&format!("{BINDING}[[principal]]\nname = \"other\"\nquota = {{ {quota} }}\n"), "", "")
    };
    assert_eq!(quota("services = 0, endpoints = 0, targets = 0, flows = 1"), []);
    let of = |owner: &str, quota: &str| {
        let name = format!("name = \"{owner}\"\n");
        files(&BINDING.replace(&name, &format!("{name}quota = {{ {quota} }}\n")), "", "")
    };
    let said = |file: &str, text: &str| vec![(file.to_owned(), text.to_owned())];
    for (owner, limit, expected) in [
        ("vendor", "services = 1, targets = 1", vec![]),
        (
            "vendor",
            "services = 0",
            said(
                "etc/20-vendor.toml",
                "the principal `vendor` has 1 services with this, and its quota is 0",
            ),
        ),
        (
            "vendor",
            "targets = 0",
            said(
                "etc/20-vendor.toml",
                "the principal `vendor` has 1 targets with this, and its quota is 0",
            ),
        ),
        ("acme", "endpoints = 1, flows = 100_000", vec![]),
        (
            "acme",
            "endpoints = 0",
            said(
                "etc/30-acme.toml",
                "the principal `acme` has 1 endpoints with this, and its quota is 0",
            ),
        ),
        (
            "acme",
            "flows = 99_999",
            said(
                "etc/30-acme.toml",
                "the principal `acme` has 100000 flows with this, and its quota is 99999",
            ),
        ),
    ] {
        assert_eq!(of(owner, limit), expected, "{owner} {limit}");
    }
}
