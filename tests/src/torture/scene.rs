//! The networks under attack: two consumers with the same addresses, a third without an endpoint,
//! and a provider, around a gateway whose host has a distribution's settings.

use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use privatelink_common::Mac;

use super::tap::Tap;
use crate::lab::{
    DEVICE, Daemon, Host, Lab, Network, Provider, client, ethernet_address,
    provider::{ECHO_PORT, HTTP_PORT, Kind},
};

const CONFIG: &str = include_str!("gateway.toml");
const SOON: Duration = Duration::from_secs(5);

/// Where the endpoints are, in both consumers' networks.
pub const ENDPOINT: [&str; 2] = ["10.1.0.50", "fd00:1::50"];
/// The provider's server.
pub const SERVER: [&str; 2] = ["10.0.0.10", "fd00::10"];
/// The clients, in every consumer's network.
pub const CLIENT: [&str; 2] = ["10.1.0.2", "fd00:1::2"];
/// From where the gateway speaks to the provider.
pub const SOURCES: [&str; 2] = ["10.0.0.240", "fd00::f0"];
/// The gateway's own addresses, in acme's and in the vendor's network.
pub const OWN: [[&str; 2]; 2] = [["10.1.0.1", "fd00:1::1"], ["10.0.0.1", "fd00::1"]];
/// TCP ports of the endpoint's listeners; 7 is UDP as well.
pub const LISTENERS: [u16; 2] = [80, 7];
/// A server of the gateway's host that is nobody's service.
pub const HOST_SERVER: u16 = 22;

/// The settings of the gateway's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Setting {
    /// No forwarding, loose reverse-path filter.
    Plain,
    /// As Docker leaves a host: it forwards.
    Docker,
    /// It forwards both families, and filters nothing.
    Open,
    /// As `Open`, with XDP in generic mode.
    Generic,
}

impl Setting {
    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Docker => "docker",
            Self::Open => "open",
            Self::Generic => "generic",
        }
    }

    fn apply(self, lab: &Lab) -> Result<()> {
        let (forward, forward6, filter) = match self {
            Self::Plain => ("0", "0", "2"),
            Self::Docker => ("1", "0", "2"),
            Self::Open | Self::Generic => ("1", "1", "0"),
        };
        let host = lab.gateway();
        host.set("ipv4/ip_forward", forward)?;
        host.set("ipv6/conf/all/forwarding", forward6)?;
        let devices = ["all", "default", "veth-acme", "veth-globex", "veth-initech", "veth-vendor"];
        for device in devices {
            host.set(&format!("ipv4/conf/{device}/rp_filter"), filter)?;
            // What a distribution has, and the lab does not.
            host.set(&format!("ipv6/conf/{device}/accept_ra"), "1")?;
            host.set(&format!("ipv6/conf/{device}/autoconf"), "1")?;
            host.set(&format!("ipv6/conf/{device}/accept_redirects"), "1")?;
            host.set(&format!("ipv4/conf/{device}/accept_redirects"), "1")?;
        }
        Ok(())
    }
}

/// One side of the gateway.
#[derive(Debug)]
pub struct Tenant {
    /// The namespace that attacks are sent from and captured in.
    pub host: Host,
    /// The index of its device.
    pub ifindex: u32,
    /// The address of its device.
    pub mac: Mac,
    /// The address of the gateway's.
    pub gateway_mac: Mac,
    /// Its network's prefixes.
    pub subnets: Vec<IpNet>,
    /// The gateway's own addresses there.
    pub own: Vec<IpAddr>,
    /// What the tenant is.
    pub role: Role,
}

/// What a tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has an endpoint.
    Consumer,
    /// It has nothing but a network.
    Outsider,
    /// It has the service.
    Provider,
}

/// An honest connection, and its ends on both sides of the gateway.
#[derive(Debug)]
pub struct Held {
    /// Index of the tenant that has the client.
    pub tenant: usize,
    /// Client and endpoint.
    pub ends: [SocketAddr; 2],
    /// Server and source address.
    pub beyond: [SocketAddr; 2],
    stream: TcpStream,
}

impl Held {
    /// Why it works no more, if it does not.
    pub fn fault(&self) -> Option<String> {
        let timeouts =
            [self.stream.set_read_timeout(Some(SOON)), self.stream.set_write_timeout(Some(SOON))];
        let error = timeouts
            .into_iter()
            .find_map(Result::err)
            .map(anyhow::Error::from)
            .or_else(|| client::tcp_exchange(&self.stream, 20_000, 2).err())?;
        Some(format!("the connection {} -> {} was cut: {error:#}", self.ends[0], self.ends[1]))
    }
}

/// Everything, in the order in which it must be dropped.
#[derive(Debug)]
pub struct Scene {
    daemon: Daemon,
    _host_server: Provider,
    provider: Provider,
    /// The consumers, the outsider and the provider, in this order.
    pub tenants: Vec<Tenant>,
    /// Settings of the gateway's host.
    pub setting: Setting,
    lab: Lab,
}

impl Scene {
    /// Lays the networks and starts the daemon.
    ///
    /// # Errors
    /// When not root, or a tool fails.
    pub fn lay(setting: Setting) -> Result<Self> {
        let lab = Lab::builder()
            .network(Network::consumer("acme").gateway(&["10.1.0.1/16", "fd00:1::1/64"]))
            .network(Network::consumer("globex"))
            .network(Network::consumer("initech"))
            .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
            .build()?;
        if setting == Setting::Generic {
            for network in ["acme", "globex", "initech", "vendor"] {
                without_native_xdp(&lab, network)?;
            }
        }
        setting.apply(&lab)?;
        let provider = Provider::start(lab.host("vendor"))?;
        let own: Vec<IpAddr> =
            OWN.iter().flatten().map(|own| own.parse()).collect::<Result<_, _>>()?;
        let host_server = Provider::at(lab.gateway(), &own, &[(Kind::TcpEcho, HOST_SERVER)])?;
        let config = if setting == Setting::Generic {
            CONFIG.replace("[[network]]", "[[network]]\nmode = \"generic\"")
        } else {
            CONFIG.to_owned()
        };
        let daemon = Daemon::start(lab.gateway(), &config)?;
        let tenants = [
            ("acme", Role::Consumer, Some(0)),
            ("globex", Role::Consumer, None),
            ("initech", Role::Outsider, None),
            ("vendor", Role::Provider, Some(1)),
        ];
        let tenants = tenants
            .into_iter()
            .map(|(name, role, own)| Tenant::of(&lab, name, role, own))
            .collect::<Result<_>>()?;
        Ok(Self { daemon, _host_server: host_server, provider, tenants, setting, lab })
    }

    /// Begins to capture everywhere.
    ///
    /// # Errors
    /// When not root.
    pub fn taps(&self) -> Result<Vec<Tap>> {
        self.tenants.iter().enumerate().map(|(number, one)| Tap::open(number, one)).collect()
    }

    /// Connections of honest clients that stay open during an attack.
    ///
    /// # Errors
    /// When one is not served.
    pub fn hold(&self) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        for (tenant, consumer) in self.tenants.iter().enumerate() {
            if consumer.role != Role::Consumer {
                continue;
            }
            for endpoint in ENDPOINT {
                let endpoint = SocketAddr::new(endpoint.parse()?, 7);
                let stream = consumer.host.run(|| client::connect(endpoint, SOON))?;
                client::tcp_exchange(&stream, 1000, 1)?;
                let seen = self.provider.seen();
                let seen = seen.last().context("the provider saw no connection")?;
                let ends = [stream.local_addr()?, endpoint];
                held.push(Held { tenant, ends, beyond: [seen.local, seen.peer], stream });
            }
        }
        Ok(held)
    }

    /// What an attack must not change: honest clients of both consumers are served.
    pub fn honest_exchange(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let consumers = self.tenants.iter().filter(|one| one.role == Role::Consumer);
        for tenant in consumers {
            for endpoint in ENDPOINT {
                let exchange = tenant.host.run(|| {
                    let address = |port| -> Result<SocketAddr> {
                        Ok(SocketAddr::new(endpoint.parse()?, port))
                    };
                    client::tcp_echo(address(7)?, 20_000, 1, SOON)?;
                    client::udp_echo(address(7)?, b"honest", SOON)
                });
                if let Err(error) = exchange {
                    let name = tenant.host.name();
                    faults.push(format!("{name} is not served at {endpoint}: {error:#}"));
                }
            }
        }
        faults
    }

    /// Addresses and routes of the gateway's host, which no tenant may change.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn accepted(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for words in ["-6 -o address show", "-6 route show", "-4 -o address show", "-4 route show"]
        {
            let text = self.lab.gateway().ip(words)?;
            lines.extend(text.lines().map(without_times));
        }
        Ok(lines)
    }

    /// How the gateway's host differs from what it was `before`.
    ///
    /// # Errors
    /// When `ip` fails, or the daemon does not answer.
    pub fn host_violations(&self, before: &[String]) -> Result<Vec<String>> {
        let now = self.accepted()?;
        let new = now.into_iter().filter(|line| !before.contains(line));
        let mut faults: Vec<String> =
            new.map(|line| format!("the gateway's host accepted from a tenant: {line}")).collect();
        let status = self.daemon.status()?;
        let flows = &status["flows"];
        let figure = |name: &str| flows.get(name).and_then(serde_json::Value::as_u64);
        let live = figure("live").or_else(|| figure("active")).or_else(|| flows.as_u64());
        if let (Some(live), Some(most)) = (live, figure("capacity").or_else(|| figure("max")))
            && live > most
        {
            faults.push(format!("{live} flows live, {most} are the most"));
        }
        Ok(faults)
    }
}

/// `valid_lft 86395sec` changes each second.
fn without_times(line: &str) -> String {
    let words = line.split_whitespace().filter(|word| !word.ends_with("sec"));
    words.collect::<Vec<_>>().join(" ")
}

/// Puts a device without XDP of its own in place of the gateway's.
fn without_native_xdp(lab: &Lab, network: &str) -> Result<()> {
    let (gateway, device, wire) =
        (lab.gateway(), format!("veth-{network}"), format!("wire-{network}"));
    let addresses = gateway.ip(&format!("-json address show dev {device} scope global"))?;
    let addresses: serde_json::Value = serde_json::from_str(&addresses)?;
    gateway.ip(&format!("link set {device} down"))?;
    gateway.ip(&format!("address flush dev {device}"))?;
    gateway.ip(&format!("link set {device} name {wire}"))?;
    gateway.ip(&format!("link set {wire} up"))?;
    gateway.ip(&format!("link add {device} link {wire} type macvlan mode passthru"))?;
    gateway.ip(&format!("link set {device} up"))?;
    let given = addresses[0]["addr_info"].as_array().cloned().unwrap_or_default();
    for one in given {
        let (Some(local), Some(length)) = (one["local"].as_str(), one["prefixlen"].as_u64()) else {
            continue;
        };
        let nodad = if local.contains(':') { " nodad" } else { "" };
        gateway.ip(&format!("address add {local}/{length} dev {device}{nodad}"))?;
    }
    // The lower device takes a moment to carry.
    thread::yield_now();
    Ok(())
}

impl Tenant {
    fn of(lab: &Lab, name: &str, role: Role, own: Option<usize>) -> Result<Self> {
        let host = lab.host(name).clone();
        let links = host.namespace().ip(&format!("-json link show dev {DEVICE}"))?;
        let links: serde_json::Value = serde_json::from_str(&links)?;
        let own_mac = links[0]["address"].as_str().context("a device without an address")?;
        let subnets = if role == Role::Provider {
            ["10.0.0.0/16", "fd00::/64"]
        } else {
            ["10.1.0.0/16", "fd00:1::/64"]
        };
        let own = own.map(|number| OWN[number]).into_iter().flatten();
        Ok(Self {
            ifindex: host.run(|| Ok(if_nametoindex(DEVICE)?))?,
            mac: ethernet_address(own_mac)?,
            gateway_mac: ethernet_address(lab.gateway_mac(name))?,
            subnets: subnets.iter().map(|one| one.parse()).collect::<Result<_, _>>()?,
            own: own.map(str::parse).collect::<Result<_, _>>()?,
            host,
            role,
        })
    }
}

/// The ports of the provider's servers.
pub const TARGET_PORTS: [u16; 2] = [HTTP_PORT, ECHO_PORT];
