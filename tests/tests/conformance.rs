//! The gateway against the documents that it follows, judged by other people's tools. Needs root,
//! scapy, mandoc, shellcheck and openapi-spec-validator; run by `cargo xtask conformance`.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use privatelink_tests::{
    conformance::requirements,
    lab::{DEVICE, Daemon, Lab, Network, Process, daemon::find_binary, tool, wait_until},
};
use serde::Deserialize;

const CONFIG: &str = include_str!("netns/gateway.toml");
/// Debian's scapy belongs to Debian's Python, which may not be the first in the path.
const PYTHON: &str = "/usr/bin/python3";
const SOON: std::time::Duration = std::time::Duration::from_secs(20);

/// What `datapath.py` says of a check.
#[derive(Debug, Deserialize)]
struct Outcome {
    id: String,
    path: String,
    met: bool,
    seen: String,
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The Ethernet address of a host's device.
fn mac(lab: &Lab, host: &str) -> String {
    let shown = lab.host(host).namespace().ip(&format!("-o link show {DEVICE}")).unwrap();
    shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap().to_owned()
}

/// Keeps a host's own kernel from answering in place of the script.
fn silence(lab: &Lab, host: &str) {
    let rules = "table inet silence {\nchain output {\ntype filter hook output priority 0;\n\
                 meta l4proto { tcp, udp } drop\nicmp type destination-unreachable drop\n\
                 icmpv6 type destination-unreachable drop\n}\n}\n";
    tool::run(lab.host(host).command("nft").arg(rules)).unwrap();
}

/// The configuration without the target of this family.
fn towards(family: u8) -> String {
    let other = if family == 4 { "fd00::10" } else { "10.0.0.10" };
    CONFIG.replace(&format!("[[service.target]]\naddress = \"{other}\"\n"), "")
}

fn judged(lab: &Lab, families: [u8; 2]) -> Vec<Outcome> {
    let _daemon = Daemon::start(lab.gateway(), &towards(families[1])).unwrap();
    let mut script = Command::new(PYTHON);
    script.arg(here("conformance/datapath.py")).args(families.map(|family| family.to_string()));
    script.args(["acme", "vendor"].map(|host| lab.host(host).namespace().path()));
    for host in ["acme", "vendor"] {
        script.args([&mac(lab, host), lab.gateway_mac(host)]);
    }
    let said = tool::run(&mut script).unwrap();
    let outcomes: Vec<Outcome> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(outcomes.len() > 25, "{said}");
    outcomes
}

#[test]
fn the_datapath_does_what_the_table_says() {
    let lab = Lab::builder()
        .network(Network::consumer("acme").gateway(&["10.1.0.1/16", "fd00:1::1/64"]))
        .network(Network::consumer("globex"))
        .network(Network::consumer("initech"))
        .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
        .build()
        .unwrap();
    ["acme", "vendor"].iter().for_each(|host| silence(&lab, host));
    let paths = [[4, 4], [6, 6], [4, 6], [6, 4]];
    let outcomes: Vec<Outcome> =
        paths.iter().flat_map(|families| judged(&lab, *families)).collect();
    let mut by_id: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in &outcomes {
        by_id.entry(&outcome.id).or_default().push(outcome);
    }
    let mut faults = Vec::new();
    let requirements = requirements().unwrap();
    for one in requirements.iter().filter(|one| one.id.is_some()) {
        let id = one.id.as_deref().unwrap_or_default();
        let Some(outcomes) = by_id.remove(id) else {
            faults.push(format!("{id} was not judged"));
            continue;
        };
        let unmet: Vec<_> = outcomes.iter().filter(|outcome| !outcome.met).collect();
        match (&one.deviation, unmet.as_slice()) {
            (None, [_, ..]) => faults.push(format!("{}: {}: {unmet:?}", one.source, one.text)),
            (Some(_), []) => faults.push(format!("{id} is met: it is no deviation any more")),
            (None, []) | (Some(_), [_, ..]) => {}
        }
    }
    let unlisted = by_id.keys().map(|id| format!("{id} is in no line of requirements.toml"));
    faults.extend(unlisted);
    println!("{} checks on {} paths", outcomes.len(), paths.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_openapi_document_is_valid() {
    let lab = Lab::quickstart().unwrap();
    let daemon =
        Daemon::start(lab.gateway(), include_str!("../../examples/quickstart.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openapi.json");
    let (code, document) = daemon.request("GET", "/v1/openapi.json", None).unwrap();
    assert_eq!(code, 200, "{document}");
    fs::write(&path, &document).unwrap();
    let validator = here("../target/openapi-validator/bin/openapi-spec-validator");
    tool::run(Command::new(&validator).arg(&path)).unwrap();
    // It does detect an error.
    fs::write(&path, document.replace("\"description\"", "\"x-description\"")).unwrap();
    tool::run(Command::new(&validator).arg(&path)).unwrap_err();
}

#[test]
fn manual_pages_have_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    tool::run(Command::new(find_binary().unwrap()).arg("man").arg(folder.path())).unwrap();
    let pages: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 20);
    let mut lint = Command::new("mandoc");
    lint.args(["-T", "lint", "-W", "warning"]).args(pages);
    let output = lint.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("ERROR") && !said.contains("missing date"), "{said}");
}

#[test]
fn scripts_are_sound() {
    let scripts =
        ["postinst", "postrm", "prerm"].map(|name| here("../packaging/debian").join(name));
    let others = [here("../packaging/release"), here("../.ci/run")];
    tool::run(Command::new("shellcheck").args(scripts).args(others)).unwrap();
}

/// Other people's clients and resolvers read the gateway's names.
#[test]
fn clients_and_resolvers_read_names() {
    let lab = Lab::quickstart().unwrap();
    let config = include_str!("../../examples/quickstart.toml");
    let _daemon = Daemon::start(lab.gateway(), config).unwrap();
    let name = "acme-web.web.privatelink.internal";
    let ask = |words: &[&str]| {
        let mut command = lab.host("acme").command(words[0]);
        tool::run(command.args(&words[1..])).unwrap_or_default()
    };
    let clients: [&[&str]; 5] = [
        &["dig", "+short", "@10.1.0.1", name],
        &["dig", "+short", "+tcp", "+dnssec", "@fd00:1::1", name],
        &["kdig", "+short", "@10.1.0.1", name],
        &["kdig", "+short", "+tcp", "+keepopen", "@10.1.0.1", name],
        &["drill", "-Q", "-D", "@10.1.0.1", name],
    ];
    for words in clients {
        wait_until(SOON, &words.join(" "), || ask(words).trim() == "10.1.0.50").unwrap();
    }
    // As a forwarder's upstream.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unbound.conf");
    let config = "server:\n  interface: 127.0.0.1\n  port: 5353\n  do-daemonize: no\n  username: \"\"\n  \
                  chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  module-config: \"iterator\"\n  \
                  do-not-query-localhost: no\nforward-zone:\n  name: \"privatelink.internal\"\n  \
                  forward-addr: 10.1.0.1\n";
    fs::write(&path, config).unwrap();
    let mut unbound = lab.host("acme").command("unbound");
    unbound.arg("-c").arg(&path);
    let _unbound = Process::spawn("unbound", unbound).unwrap();
    let words = ["dig", "+short", "+tries=1", "+timeout=1", "-p", "5353", "@127.0.0.1", name];
    wait_until(SOON, "unbound forwards", || ask(&words).trim() == "10.1.0.50").unwrap();
}
