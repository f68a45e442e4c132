//! Two gateways that share their state in etcd, each with networks of its own around it. Needs root
//! and etcd; run by `cargo xtask test`.

#![expect(clippy::unwrap_used, reason = "a failure in what tests share is a failure of the test")]

mod decisions;
mod without_etcd;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use privatelink_tests::lab::{
    Daemon, Etcd, Host, Lab, Namespace, Process, Provider, client, etcd, wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for everything that should work, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// How long a client waits for what should not come.
const NEVER: Duration = Duration::from_millis(400);
/// Where etcd serves clients.
const STORE: &str = "10.99.0.1";
/// The endpoint in the files.
const ENDPOINT: &str = "10.1.0.50";

/// Two gateways, and etcd behind a switch; the fields are in the order in which they must be
/// dropped.
struct Scene {
    a: Site,
    b: Site,
    etcd: Etcd,
    _switch: Namespace,
    files: TempDir,
}

/// A gateway with a consumer and a provider.
struct Site {
    name: &'static str,
    daemon: Daemon,
    _provider: Provider,
    lab: Lab,
}

impl Scene {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        etcd::certificates(files.path(), &["root", "gw-a", "gw-b"], &[STORE]).unwrap();
        let switch = Namespace::create("store").unwrap();
        switch.ip("link add bridge0 type bridge").unwrap();
        switch.ip("link set bridge0 up").unwrap();
        switch.ip(&format!("address add {STORE}/24 dev bridge0")).unwrap();
        let labs = [Lab::quickstart().unwrap(), Lab::quickstart().unwrap()];
        for (number, lab) in labs.iter().enumerate() {
            let (gateway, port) = (lab.gateway(), format!("port{number}"));
            let peer = format!("type veth peer name {port} netns {}", switch.name());
            gateway.ip(&format!("link add store {peer}")).unwrap();
            gateway.ip("link set store up").unwrap();
            gateway.ip(&format!("address add 10.99.0.1{number}/24 dev store")).unwrap();
            switch.ip(&format!("link set {port} master bridge0")).unwrap();
            switch.ip(&format!("link set {port} up")).unwrap();
        }
        let etcd = Etcd::start_in(&switch, STORE, files.path()).unwrap();
        let [a, b] = labs;
        let site = |name, lab: Lab| {
            let provider = Provider::start(lab.host("vendor")).unwrap();
            let daemon = Daemon::start(lab.gateway(), &config(&files, name, "")).unwrap();
            Site { name, daemon, _provider: provider, lab }
        };
        let (a, b) = (site("gw-a", a), site("gw-b", b));
        let scene = Self { a, b, etcd, _switch: switch, files };
        wait_until(SOON, "both see each other", || scene.sites().all(|site| site.sees(2))).unwrap();
        scene
    }

    fn sites(&self) -> impl Iterator<Item = &Site> {
        [&self.a, &self.b].into_iter()
    }
}

/// The quickstart, with decisions by hand, and the store.
fn config(files: &TempDir, name: &str, more: &str) -> String {
    let quickstart = include_str!("../../../examples/quickstart.toml");
    let echo = "[[service.listener]]\nprotocol = \"tcp\"\nport = 7\ntarget_port = 7777\n";
    let manual = quickstart
        .replace("acceptance = \"automatic\"", "acceptance = \"manual\"")
        .replace("private_dns = [\"web.internal\"]\n", echo);
    let file = |name: &str| files.path().join(name).display().to_string();
    format!(
        "{manual}\n{more}\n[store]\netcd = [\"https://{STORE}:2379\"]\nca = \"{}\"\ncertificate = \
         \"{}\"\nkey = \"{}\"\ngroup = \"east\"\nname = \"{name}\"\n",
        file("ca.pem"),
        file(&format!("{name}.pem")),
        file(&format!("{name}.key")),
    )
}

impl Site {
    fn consumer(&self) -> &Host {
        self.lab.host("acme")
    }

    fn fleet(&self) -> Value {
        self.daemon.ask(&["fleet", "--json"]).unwrap()
    }

    /// Whether the gateway knows so many that run, itself included.
    fn sees(&self, gateways: usize) -> bool {
        self.fleet()["gateways"].as_array().unwrap().len() == gateways
    }

    fn state(&self, endpoint: &str) -> String {
        let connection = self.daemon.ask(&["connections", endpoint, "--json"]).unwrap();
        connection["state"].as_str().unwrap().to_owned()
    }

    /// Decides about an endpoint; returns the code and the answer.
    fn decide(&self, endpoint: &str, decision: &str) -> (u16, Value) {
        let path = format!("/v1/connections/{endpoint}/{decision}");
        let (code, answer) = self.daemon.request("POST", &path, None).unwrap();
        (code, serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
    }

    /// Makes an endpoint by the API; returns the code.
    fn create(&self, name: &str) -> u16 {
        let endpoint = json!({ "service": "web", "network": "acme", "addresses": "auto" });
        let path = format!("/v1/endpoints/{name}");
        self.daemon.send("PUT", &path, None, &endpoint).unwrap().0
    }

    /// The IPv4 address of an endpoint, once this gateway knows it.
    fn address(&self, endpoint: &str) -> IpAddr {
        let mut found = None;
        wait_until(SOON, "the endpoint is known", || {
            let known = self.daemon.ask(&["endpoints", endpoint, "--json"]).ok();
            found = known.and_then(|it| it["addresses"][0].as_str()?.parse().ok());
            found.is_some()
        })
        .unwrap();
        found.unwrap()
    }

    /// Whether the consumer gets the page of an endpoint.
    fn is_served(&self, address: IpAddr) -> bool {
        let at = SocketAddr::new(address, 80);
        self.consumer().run(|| client::http_get(at, SOON)).is_ok()
    }

    /// Whether the consumer is refused at once, or hears nothing.
    fn is_refused(&self, address: IpAddr) -> bool {
        let at = SocketAddr::new(address, 80);
        self.consumer().run(|| client::http_get(at, NEVER)).is_err()
    }

    fn problems(&self) -> String {
        self.daemon.status().unwrap()["problems"].to_string()
    }
}

/// Stops the process of a daemon without ending it, or lets it go on.
fn freeze(daemon: &Daemon, frozen: bool) {
    let id = daemon.id().unwrap();
    Process::signal(id, if frozen { "STOP" } else { "CONT" }).unwrap();
}
