//! Private names, resolved by real resolvers.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

mod activation;
mod export;
mod forwarding;
mod limits;
mod sight;

use std::{fs, process::Command, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use privatelink_tests::lab::{Captures, Daemon, Host, Lab, Network, Provider, tool, wait_until};

use crate::fixture::{CONFIG, SOON, ip};

/// The service's own name, and the endpoints' addresses behind it.
const NAME: &str = "web.internal";
const GREETING: &str = privatelink_tests::lab::provider::GREETING;

/// The name server's address, the same in all networks.
const SERVER: [&str; 2] = ["10.1.0.1", "fd00:1::1"];

/// Three consumers with the same addresses; the gateway has the same ones in each network.
struct Scene {
    _captures: Captures,
    daemon: Daemon,
    _provider: Provider,
    lab: Lab,
}

/// Two consumers with endpoints at different addresses, and one without.
fn config() -> String {
    let text = CONFIG
        .replace("principal = \"acme\"\n", "principal = \"acme\"\ndns = true\ndns_accept = [\"*.internal\"]\n")
        .replace("principal = \"globex\"\n", "principal = \"globex\"\ndns = true\ndns_accept = [\"*.internal\"]\n")
        .replace("principal = \"initech\"\n", "principal = \"initech\"\ndns = true\ndns_accept = [\"*.internal\"]\n")
        .replace("acceptance = \"automatic\"\n", "acceptance = \"manual\"\nprivate_dns = [\"web.internal\", \"*.web.internal\"]\naccept = [\"acme\", \"globex\"]\n");
    let (before, globex) = text.split_once("name = \"globex-web\"").unwrap_or_default();
    let globex = globex.replace("10.1.0.50", "10.1.0.60").replace("::50", "::60");
    format!("{before}name = \"globex-web\"{globex}")
}

impl Scene {
    fn start(config: &str) -> Self {
        let consumer = |name| Network::consumer(name).gateway(&["10.1.0.1/16", "fd00:1::1/64"]);
        let lab = Lab::builder()
            .network(consumer("acme"))
            .network(consumer("globex"))
            .network(consumer("initech"))
            .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
            .build()
            .unwrap();
        let captures = lab.capture().unwrap();
        let provider = Provider::start(lab.host("vendor")).unwrap();
        let daemon = Daemon::start(lab.gateway(), config).unwrap();
        let scene = Self { _captures: captures, daemon, _provider: provider, lab };
        wait_until(SOON, "names are served", || {
            scene.dig("acme", &["acme-web.web.privatelink.internal"]) == ["10.1.0.50"]
        })
        .unwrap();
        scene
    }

    /// What dig prints, line by line, when it queries the gateway's IPv4 address.
    fn dig(&self, host: &str, words: &[&str]) -> Vec<String> {
        let server = format!("@{}", SERVER[0]);
        let words = [&[&server, "+short", "+tries=1", "+timeout=1"], words].concat();
        dig(self.lab.host(host), &words)
    }

    /// The code of the answer.
    fn code(&self, host: &str, words: &[&str]) -> String {
        let server = format!("@{}", SERVER[0]);
        let words = [&[&server, "+noall", "+comments", "+tries=2", "+timeout=2"], words].concat();
        let lines = dig(self.lab.host(host), &words).join("\n");
        let code = lines.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
        code.unwrap_or(&lines).to_owned()
    }
}

fn dig(host: &Host, words: &[&str]) -> Vec<String> {
    // The exit code does not matter: the output shows whether there was an answer.
    let output = host.command("dig").args(words).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn each_network_has_its_own_answers() {
    let scene = Scene::start(&config());
    for (host, address) in [("acme", "50"), ("globex", "60")] {
        let v4 = vec![format!("10.1.0.{address}")];
        let v6 = vec![format!("fd00:1::{address}")];
        let own = format!("{host}-web.web.privatelink.internal");
        let zonal = format!("{host}-web-gw-test.web.privatelink.internal");
        for name in [&own, &zonal, NAME, "any.thing.web.internal", "WEB.Internal"] {
            assert_eq!(scene.dig(host, &[name]), v4, "{host} {name}");
            assert_eq!(scene.dig(host, &[name, "AAAA"]), v6, "{host} {name}");
            assert_eq!(scene.dig(host, &["+tcp", name]), v4, "{host} {name}");
            let server = format!("@{}", SERVER[1]);
            let by_v6 = [&server, "+short", "+tries=2", name];
            assert_eq!(dig(scene.lab.host(host), &by_v6), v4, "{host} {name}");
            assert_eq!(dig(scene.lab.host(host), &[&by_v6[..], &["+tcp"]].concat()), v4);
        }
        assert_eq!(scene.dig(host, &["-x", &v4[0]]), [format!("{own}.")]);
        assert_eq!(scene.dig(host, &["-x", &v6[0]]), [format!("{own}.")]);
        let srv = format!("_web._tcp.{NAME}");
        let lines = scene.dig(host, &[&srv, "SRV"]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.contains(&format!("0 0 80 {NAME}.")), "{lines:?}");
        assert_eq!(scene.dig(host, &[NAME, "TXT"]), ["\"service=web\""]);
        let endpoint = scene.daemon.ask(&["endpoints", &format!("{host}-web"), "--json"]).unwrap();
        assert_eq!(endpoint["dns_names"][0], own);
        assert_eq!(endpoint["dns_names"].as_array().unwrap().len(), 4);
    }
    for name in [NAME, "acme-web.web.privatelink.internal", "any.thing.web.internal"] {
        assert_eq!(scene.code("initech", &[name]), "NXDOMAIN", "{name}");
    }
    assert_eq!(scene.code("acme", &["globex-web.web.privatelink.internal"]), "NXDOMAIN");
    assert_eq!(scene.code("acme", &["example.com"]), "REFUSED");
    assert_eq!(scene.code("acme", &[NAME, "MX"]), "NOERROR");
    assert_eq!(scene.code("acme", &["+tcp", "privatelink.internal", "AXFR"]), "REFUSED");
    assert_eq!(scene.daemon.status().unwrap()["problems"], serde_json::json!([]));
}

/// The name server's process, and its status from the kernel.
fn server(daemon: &Daemon) -> (i32, String) {
    let output = daemon.output();
    let line = output.lines().rfind(|line| line.contains("the name server is process"));
    let id: i32 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    (id, fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default())
}

#[test]
fn the_server_has_no_rights_and_comes_back() {
    let mut scene = Scene::start(&config());
    let (first, status) = server(&scene.daemon);
    let field = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
        line.unwrap_or_else(|| panic!("no {key} in {status}")).to_owned()
    };
    for (key, value) in [
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Groups", " "),
    ] {
        assert_eq!(field(key), value, "{key}");
    }
    assert!(field("Uid").split('\t').all(|uid| uid != "0"), "{status}");

    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    wait_until(SOON, "another server is active", || {
        server(&scene.daemon).0 != first && scene.dig("acme", &[NAME]) == ["10.1.0.50"]
    })
    .unwrap();
    let (second, _) = server(&scene.daemon);
    scene.daemon.kill();
    assert_eq!(scene.dig("acme", &[NAME]), ["10.1.0.50"]);
    scene.daemon.down().unwrap();
    wait_until(SOON, "the server has ended", || kill(Pid::from_raw(second), None).is_err())
        .unwrap();
}

#[test]
fn a_name_is_served_while_its_connection_is_accepted() {
    let mut scene = Scene::start(&config());
    let own = "acme-web.web.privatelink.internal";
    let second = Duration::from_secs(1);
    for round in 0..2 {
        scene.daemon.ask(&["reject", "acme-web", "--json"]).unwrap();
        wait_until(second, "the names are gone", || {
            [NAME, own].iter().all(|name| scene.code("acme", &[name]) == "NXDOMAIN")
        })
        .unwrap();
        assert_eq!(scene.dig("globex", &[NAME]), ["10.1.0.60"], "another's connection");
        scene.daemon.ask(&["accept", "acme-web", "--json"]).unwrap();
        wait_until(second, "the names are back", || {
            [NAME, own].iter().all(|name| scene.dig("acme", &[name]) == ["10.1.0.50"])
        })
        .unwrap();
        if round == 0 {
            // Names are served without a daemon, and by the same server when it is back.
            scene.daemon.kill();
            assert_eq!(scene.dig("acme", &[NAME]), ["10.1.0.50"]);
            scene.daemon.run().unwrap();
            assert_eq!(scene.dig("acme", &[NAME]), ["10.1.0.50"]);
        }
    }
}

fn resolving(host: &Host, program: &[&str]) -> Command {
    host.command_resolving(ip(SERVER[0]), program)
}

#[test]
fn curl_and_the_c_library_use_names() {
    let scene = Scene::start(&config());
    let acme = scene.lab.host("acme");
    for name in [NAME, "acme-web.web.privatelink.internal"] {
        let url = format!("http://{name}/");
        for family in ["-4", "-6"] {
            let words = ["curl", family, "--silent", "--show-error", "--fail", "--max-time", "10"];
            let page = tool::run(&mut resolving(acme, &[&words[..], &[&url]].concat())).unwrap();
            assert!(page.contains(GREETING), "{page}");
        }
        let hosts = tool::run(&mut resolving(acme, &["getent", "ahosts", name])).unwrap();
        assert!(hosts.contains("10.1.0.50") && hosts.contains("fd00:1::50"), "{hosts}");
    }
    let host = tool::run(&mut resolving(acme, &["getent", "hosts", "10.1.0.50"])).unwrap();
    assert!(host.contains("acme-web.web.privatelink.internal"), "{host}");
    let missing = resolving(acme, &["getent", "hosts", "nobody.internal"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}
