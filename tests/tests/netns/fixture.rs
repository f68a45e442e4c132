//! The networks that most tests share: consumers with identical addresses around one gateway.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use privatelink_tests::lab::{Captures, Daemon, Host, Lab, Provider, client, tool};

/// Long enough for everything that should work, on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);

/// Long enough for a packet to cross the lab a thousand times.
pub const NEVER: Duration = Duration::from_millis(400);

/// The endpoint's addresses, the same in both consumers' networks.
pub const ENDPOINT: [&str; 2] = ["10.1.0.50", "fd00:1::50"];

/// The provider's server.
pub const SERVER: [&str; 2] = ["10.0.0.10", "fd00::10"];

/// The client, the same in all consumers' networks.
pub const CLIENT: [&str; 2] = ["10.1.0.2", "fd00:1::2"];

/// The addresses from which the gateway speaks to the provider.
pub const SOURCES: [&str; 2] = ["10.0.0.240/29", "fd00::f0/125"];

/// The configuration that every test starts from.
pub const CONFIG: &str = include_str!("gateway.toml");

/// A running gateway; the fields are in the order in which they must be dropped.
pub struct Scene {
    _captures: Captures,
    pub daemon: Daemon,
    pub provider: Provider,
    pub lab: Lab,
}

impl Scene {
    /// Lays the networks, and starts provider and daemon.
    pub fn start() -> Result<Self> {
        Self::with(CONFIG)
    }

    /// The same with another configuration of the same networks.
    pub fn with(config: &str) -> Result<Self> {
        let lab = lay()?;
        let captures = lab.capture()?;
        let provider = Provider::start(lab.host("vendor"))?;
        let daemon = Daemon::start(lab.gateway(), config)?;
        Ok(Self { _captures: captures, daemon, provider, lab })
    }

    /// Returns the consumer that most tests speak from.
    pub fn acme(&self) -> &Host {
        self.lab.host("acme")
    }
}

/// Makes a daemon apply another configuration.
pub fn reload(daemon: &Daemon, config: &str) -> Result<()> {
    daemon.write_config(config)?;
    let output = daemon.cli().arg("reload").output().context("privatelink reload")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Lays the networks of `gateway.toml`.
pub fn lay() -> Result<Lab> {
    Lab::tenants()
}

/// Returns the configuration without one of its targets: its clients use that of the other family.
pub fn without_target(config: &str, address: &str) -> String {
    let target = format!("[[service.target]]\naddress = \"{address}\"\n");
    assert!(config.contains(&target), "{config}");
    config.replace(&target, "")
}

/// Returns address and port as one.
pub fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

/// Reads an address of the constants above.
pub fn ip(address: &str) -> IpAddr {
    address.parse().unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// Whether a peer of the provider is a source address.
pub fn is_source(peer: SocketAddr) -> bool {
    SOURCES.iter().any(|text| text.parse::<IpNet>().is_ok_and(|net| net.contains(&peer.ip())))
}

/// Fetches the endpoint's page with curl.
pub fn curl(host: &Host, address: &str, more: &[&str]) -> Result<String> {
    let url = format!("http://{}/", at(address, 80));
    let mut command = host.command("curl");
    command.args(["--silent", "--show-error", "--fail", "--max-time", "10"]).args(more).arg(url);
    Ok(tool::run(&mut command)?)
}

/// Exchanges page, TCP bytes and a datagram with the endpoint, over both families.
pub fn everything_works(host: &Host) -> Result<()> {
    for endpoint in ENDPOINT {
        host.run(|| {
            client::http_get(at(endpoint, 80), SOON)?;
            client::tcp_echo(at(endpoint, 7), 100_000, 1, SOON)?;
            client::udp_echo(at(endpoint, 7), b"ping", SOON)
        })
        .with_context(|| format!("from {} to endpoint {endpoint}", host.name()))?;
    }
    Ok(())
}
