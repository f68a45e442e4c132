//! Two sites with the same addresses, and an untrusted router between them.
//!
//! ```text
//!  acme, vendor ─ gateway of site-a ─ router ─ gateway of site-b ─ acme, vendor
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use privatelink_tests::lab::{
    Daemon, Host, Lab, Namespace, Network, Provider, namespace::unique, network, wait_until,
};
use serde_json::Value;

/// Long enough for everything that should work, on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// The uplink of a gateway, and both ends of the router.
pub const UPLINK: &str = "uplink";

/// A site: its gateway, its consumer and its provider.
pub struct Site {
    pub daemon: Daemon,
    pub provider: Provider,
    pub lab: Lab,
    pub name: &'static str,
    pub transport: String,
    pub address: &'static str,
}

/// Both sites and the router; the fields are in the order in which they must be dropped.
pub struct Scene {
    pub a: Site,
    pub b: Site,
    pub router: Namespace,
}

/// What differs between the sites.
const SITES: [(&str, &str, &str); 2] =
    [("site-a", "192.0.2.2/24", "192.0.2.1/24"), ("site-b", "198.51.100.2/24", "198.51.100.1/24")];

impl Scene {
    /// Lays both sites and the router, and starts both daemons: without links.
    pub fn start() -> Result<Self> {
        Self::with(base)
    }

    /// The same with another configuration, by the name of a site and of its transport namespace.
    pub fn with(config: fn(&str, &str) -> String) -> Result<Self> {
        let router = Namespace::create("router")?;
        for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            router.set(setting, "1")?;
        }
        let [a, b] = SITES;
        Ok(Self {
            a: Site::start(a, &router, config)?,
            b: Site::start(b, &router, config)?,
            router,
        })
    }

    /// Links the sites: the consumer of `site-a` uses the provider of `site-b`.
    pub fn linked() -> Result<Self> {
        let scene = Self::start()?;
        let (a, b) = (scene.a.key()?, scene.b.key()?);
        scene.b.reload(&provider(&scene.b, &[&a], Some(scene.a.address)))?;
        scene.a.reload(&consumer(&scene.a, &[&b], Some(scene.b.address)))?;
        Ok(scene)
    }

    /// Links the sites, accepts the connection, and waits until both gateways know, and have found
    /// their next hops: until then a single datagram may be lost.
    pub fn accepted() -> Result<Self> {
        let scene = Self::linked()?;
        scene.b.accept("a-payments")?;
        scene.a.wait_for_state("available")?;
        for site in [&scene.a, &scene.b] {
            let works = || site.problems().is_ok_and(|problems| problems.is_empty());
            wait_until(SOON, "nothing is wrong", works)
                .with_context(|| format!("{}: {:?}", site.name, site.problems()))?;
        }
        Ok(scene)
    }
}

impl Site {
    fn start(
        (name, own, router): (&'static str, &str, &str),
        way: &Namespace,
        config: fn(&str, &str) -> String,
    ) -> Result<Self> {
        let lab = Lab::builder()
            .network(Network::consumer("acme"))
            .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
            .build()?;
        let device = format!("to-{name}");
        let cable = Network::new(name);
        network::cable((lab.gateway(), UPLINK), (way, &device), &cable)?;
        network::address(lab.gateway(), UPLINK, &[own.to_owned()])?;
        let [router] = &network::address(way, &device, &[router.to_owned()])?[..] else {
            anyhow::bail!("one address");
        };
        let via = router.addr();
        lab.gateway().ip(&format!("route add default via {via} dev {UPLINK}"))?;
        let transport = format!("pl-{}-{name}", unique());
        let provider = Provider::start(lab.host("vendor"))?;
        let daemon = Daemon::start(lab.gateway(), &config(name, &transport))?;
        let address = if name == "site-a" { "192.0.2.2:51820" } else { "198.51.100.2:51820" };
        Ok(Self { daemon, provider, lab, name, transport, address })
    }

    /// The public key of the site, as its operator reads it.
    pub fn key(&self) -> Result<String> {
        let mut key = String::new();
        wait_until(SOON, "the site has a key", || {
            let output = self.daemon.cli().args(["site", "key"]).output();
            let text = output.map(|output| output.stdout).unwrap_or_default();
            key = String::from_utf8_lossy(&text).trim().to_owned();
            key.len() == 44
        })?;
        Ok(key)
    }

    /// Applies another configuration.
    pub fn reload(&self, config: &str) -> Result<()> {
        self.daemon.write_config(config)?;
        let output = self.daemon.cli().arg("reload").output().context("privatelink reload")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Accepts a connection, as its provider does.
    pub fn accept(&self, endpoint: &str) -> Result<()> {
        self.decide("accept", endpoint)
    }

    /// Decides about a connection, as its provider does.
    pub fn decide(&self, word: &str, endpoint: &str) -> Result<()> {
        let output = self.daemon.cli().args([word, endpoint]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// What the other site has decided about the endpoint of `acme`, as it is known here.
    pub fn remote_state(&self) -> Result<Option<String>> {
        let connections = self.daemon.ask(&["connections", "--json"])?;
        let connections = connections.as_array().context("a list")?;
        let own = connections.iter().find(|one| one["endpoint"] == "acme-payments");
        Ok(own.and_then(|one| one["site_state"].as_str()).map(str::to_owned))
    }

    /// Waits until it is known here what the other site has decided.
    pub fn wait_for_state(&self, state: &str) -> Result<()> {
        let known = || self.remote_state().is_ok_and(|known| known.as_deref() == Some(state));
        wait_until(SOON, &format!("the other site's `{state}` is known"), known)
            .with_context(|| format!("{}\n{}", self.links(), self.daemon.output()))
    }

    /// What the gateway shows of its links.
    pub fn links(&self) -> String {
        self.daemon
            .ask(&["site", "show", "--json"])
            .map_or_else(|e| format!("{e:#}"), |it| it.to_string())
    }

    /// The problems in `status`.
    pub fn problems(&self) -> Result<Vec<String>> {
        let status = self.daemon.status()?;
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        Ok(problems.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// The consumer.
    pub fn acme(&self) -> &Host {
        self.lab.host("acme")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The command that removes it is part of the tests; a test that fails must leave nothing.
        if let Err(error) = self.daemon.down() {
            eprintln!("lab: {error:#}");
        }
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.transport]).output();
    }
}

/// What a gateway has before it knows of other sites.
pub fn base(name: &str, transport: &str) -> String {
    let backbone = format!("[backbone]\nsite = \"{name}\"\nnamespace = \"{transport}\"\n");
    networks(name, transport) + &backbone
}

/// What a gateway has that is in no site yet.
pub fn networks(name: &str, _transport: &str) -> String {
    format!(
        r#"
[gateway]
name = "{name}"

[[network]]
name = "acme"
principal = "acme"
interface = "veth-acme"
subnets = ["10.1.0.0/16", "fd00:1::/64"]

[[network]]
name = "vendor"
principal = "vendor"
interface = "veth-vendor"
subnets = ["10.0.0.0/16", "fd00::/64"]
"#
    )
}

/// The configuration of the site whose consumer uses another's service.
pub fn consumer(site: &Site, keys: &[&str], address: Option<&str>) -> String {
    let mut config = base(site.name, &site.transport);
    config += &peer("site-b", keys, address);
    config
        + r#"
[[site.service]]
name = "payments"
allow = ["acme"]
tcp = [80, 7]
udp = [7]

[[endpoint]]
name = "acme-payments"
service = "site-b/payments"
network = "acme"
addresses = ["10.1.0.50", "fd00:1::50"]
"#
}

/// The configuration of the site whose provider publishes the service.
pub fn provider(site: &Site, keys: &[&str], address: Option<&str>) -> String {
    let mut config = base(site.name, &site.transport);
    config += &peer("site-a", keys, address);
    config
        + r#"
[[service]]
name = "payments"
principal = "vendor"
network = "vendor"
acceptance = "manual"
allow = ["site-a"]
source_addresses = ["10.0.0.240/29", "fd00::f0/125"]

[[service.listener]]
protocol = "tcp"
port = 80
target_port = 8080

[[service.listener]]
protocol = "tcp"
port = 7
target_port = 7777

[[service.listener]]
protocol = "udp"
port = 7
target_port = 7777

[[service.target]]
address = "10.0.0.10"

[[endpoint]]
name = "a-payments"
service = "payments"
network = "site-a"
"#
}

fn peer(name: &str, keys: &[&str], address: Option<&str>) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
    let address = address.map(|address| format!("address = \"{address}\"\n")).unwrap_or_default();
    format!("\n[[site]]\nname = \"{name}\"\npublic_key = [{}]\n{address}", keys.join(", "))
}
