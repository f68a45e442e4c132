//! A client that wants others' flows to end cannot have a target found unhealthy.

use std::{io::Read, io::Write, path::Path};

use privatelink_tests::lab::{Daemon, Lab, Network, Provider, client, tool};

use crate::fixture::{SOON, at};

const CONFIG: &str = include_str!("health.toml");

/// Debian's packages belong to Debian's Python, which may not be the first in the path.
const PYTHON: &str = "/usr/bin/python3";

/// The target's host ignores what one client sends, so that its flows look like those to a dead
/// target; meanwhile it loses every packet of checks. The next regular check is far off.
#[test]
fn one_client_cannot_take_a_target_out_of_service() {
    let lab = Lab::builder()
        .network(Network::consumer("acme").host("peer", &["10.1.0.3/16"]))
        .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
        .network(Network::provider("maker"))
        .build()
        .unwrap();
    let _provider = Provider::start(lab.host("vendor")).unwrap();
    let config = CONFIG.replace(
        "interval = \"500ms\", timeout = \"400ms\"",
        "interval = \"1h\", timeout = \"4s\"",
    );
    let daemon = Daemon::start(lab.gateway(), &config).unwrap();
    let health = || {
        let targets = daemon.ask(&["targets", "web", "--json"]).unwrap();
        let mut targets = targets.as_array().cloned().unwrap_or_default().into_iter();
        targets.find(|target| target["address"] == "10.0.0.10").unwrap()["health"].clone()
    };
    assert_eq!(health(), "healthy");
    let peer = lab.host("peer");
    let mut stream = peer.run(|| client::connect(at("10.1.0.50", 80), SOON)).unwrap();

    let vendor = lab.host("vendor");
    let rules = "table ip lossy { chain input { type filter hook input priority 0; \
                 ip saddr 10.0.0.1 tcp dport 8080 drop; }; }";
    tool::run(vendor.command("nft").arg(rules)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/md5_syns.py");
    let mut attack = lab.host("acme").command(PYTHON);
    tool::run(attack.arg(script).args(["10.1.0.50", "80", "5"])).unwrap();

    assert_eq!(health(), "healthy");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
}
