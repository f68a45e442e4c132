//! The lab: consumers, a gateway and providers as network namespaces of this machine.
//!
//! ```text
//!  acme (10.1.0.2)     globex (10.1.0.2)              vendor (10.0.0.10)
//!       eth0                 eth0                           eth0
//!        |                    |                              |
//!    veth-acme           veth-globex                    veth-vendor
//!        +--------------------+---- gateway ----------------+
//! ```
//!
//! Interface names are fixed inside the gateway's own namespace, so one configuration fits every
//! lab, and any number of labs run side by side. The gateway's kernel forwards nothing: what
//! crosses was carried by the datapath. Everything is removed when the [`Lab`] is dropped.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context, Result};

pub mod bpffs;
pub mod bridge;
pub mod capture;
pub mod client;
pub mod counter;
pub mod crowd;
pub mod daemon;
pub mod demo;
pub mod etcd;
pub mod load;
pub mod many;
pub mod nameserver;
pub mod namespace;
pub mod network;
pub mod process;
pub mod provider;
pub mod resolver;
pub mod scrape;
pub mod tool;
pub mod upgrade;
pub mod wait;
mod wire;

pub use self::{
    capture::{Capture, Captures},
    counter::{Counter, Sent},
    daemon::Daemon,
    etcd::Etcd,
    load::Load,
    nameserver::NameServer,
    namespace::Namespace,
    network::{DEVICE, Host, Network, ethernet_address},
    process::Process,
    provider::Provider,
    scrape::{Scrape, TOKEN},
    wait::wait_until,
};

/// The device of a router on the link behind it.
const BEHIND: &str = "behind";

/// Laid networks around one gateway; dropping it removes them.
#[derive(Debug)]
pub struct Lab {
    gateway: Namespace,
    switches: Vec<Namespace>,
    hosts: BTreeMap<String, Host>,
    macs: BTreeMap<String, String>,
}

impl Lab {
    /// Starts the description of a lab.
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    /// Lays the two networks of `examples/quickstart.toml`: `acme` and `vendor`.
    ///
    /// # Errors
    /// As [`LabBuilder::build`].
    pub fn quickstart() -> Result<Self> {
        Self::builder()
            .network(Network::consumer("acme").gateway(&["10.1.0.1/16", "fd00:1::1/64"]))
            .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
            .build()
    }

    /// Lays the networks of three consumers, which have the same addresses, and of a provider.
    ///
    /// # Errors
    /// As [`LabBuilder::build`].
    pub fn tenants() -> Result<Self> {
        Self::builder()
            .network(Network::consumer("acme").gateway(&["10.1.0.1/16", "fd00:1::1/64"]))
            .network(Network::consumer("globex"))
            .network(Network::consumer("initech"))
            .network(Network::provider("vendor").gateway(&["10.0.0.1/16", "fd00::1/64"]))
            .build()
    }

    /// Returns the gateway's namespace.
    pub fn gateway(&self) -> &Namespace {
        &self.gateway
    }

    /// Returns a host by its name.
    ///
    /// # Panics
    /// When the lab has no such host.
    pub fn host(&self, name: &str) -> &Host {
        let Some(host) = self.hosts.get(name) else {
            panic!("the lab has no host `{name}`, only {:?}", self.hosts.keys());
        };
        host
    }

    /// Returns all hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// Returns every namespace of the lab.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        let hosts = self.hosts.values().map(Host::namespace);
        hosts.chain(&self.switches).chain([&self.gateway])
    }

    /// Returns the MAC address of the gateway's interface in a network.
    ///
    /// # Panics
    /// When the lab has no such network.
    pub fn gateway_mac(&self, network: &str) -> &str {
        let Some(mac) = self.macs.get(network) else {
            panic!("the lab has no network `{network}`, only {:?}", self.macs.keys());
        };
        mac
    }

    /// Starts a capture on every host; what it saw is shown only when the test panics.
    ///
    /// # Errors
    /// When `tcpdump` cannot be started.
    pub fn capture(&self) -> Result<Captures> {
        Captures::start(self.hosts().map(|host| (host.namespace(), DEVICE)))
    }

    /// Puts a host behind another, which becomes a router, on a link of this MTU.
    ///
    /// Each link is given by both its ends, the router's first. The host announces a segment size
    /// of 1,400 bytes, so that only the router knows how narrow the link is.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn put_behind(
        &mut self,
        router: &str,
        name: &str,
        links: &[[&str; 2]],
        mtu: u32,
    ) -> Result<()> {
        let (router, far) = (self.host(router).namespace().clone(), Namespace::create(name)?);
        let link = Network::new(name).mtu(mtu);
        network::cable((&router, BEHIND), (&far, DEVICE), &link)?;
        network::behave_like_a_wire(&far, DEVICE)?;
        for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            router.set(setting, "1")?;
        }
        let mut addresses = Vec::new();
        for [near, own] in links {
            let near = network::address(&router, BEHIND, &[(*near).to_owned()])?;
            addresses.extend(network::address(&far, DEVICE, &[(*own).to_owned()])?);
            for near in near {
                let route = format!("default via {} dev {DEVICE} advmss 1400", near.addr());
                far.ip(&format!("route add {route}"))?;
            }
        }
        let host = Host { name: name.to_owned(), namespace: far, addresses };
        self.hosts.insert(name.to_owned(), host);
        Ok(())
    }

    fn lay(&mut self, network: &Network) -> Result<()> {
        let interface = network.interface();
        let gateway = self.gateway.clone();
        let segment = match network.hosts.as_slice() {
            [_] => None,
            _ => Some(self.switch(network)?),
        };
        let mut hosts = Vec::new();
        for (index, (name, _)) in network.hosts.iter().enumerate() {
            let host = Namespace::create(name)?;
            match &segment {
                None => network::cable((&gateway, &interface), (&host, DEVICE), network)?,
                Some(switch) => plug(switch, &format!("port{index}"), (&host, DEVICE), network)?,
            }
            if !network.offloads {
                network::behave_like_a_wire(&host, DEVICE)?;
            }
            hosts.push(host);
        }
        let own = network::address(&gateway, &interface, &network.gateway)?;
        for (namespace, (name, addresses)) in hosts.into_iter().zip(&network.hosts) {
            let addresses = network::address(&namespace, DEVICE, addresses)?;
            for router in &own {
                let router: IpAddr = router.addr();
                namespace.ip(&format!("route add default via {router} dev {DEVICE}"))?;
            }
            let host = Host { name: name.clone(), namespace, addresses };
            self.hosts.insert(name.clone(), host);
        }
        self.macs.insert(network.name.clone(), mac_of(&gateway, &interface)?);
        Ok(())
    }

    /// Makes a switch and plugs the gateway into it.
    fn switch(&mut self, network: &Network) -> Result<Namespace> {
        let switch = Namespace::create(&format!("{}-switch", network.name))?;
        switch.ip("link add bridge0 type bridge")?;
        switch.ip(&format!("link set bridge0 mtu {} up", network.mtu))?;
        let interface = network.interface();
        plug(&switch, "uplink", (&self.gateway, &interface), network)?;
        if !network.offloads {
            network::behave_like_a_wire(&switch, "uplink")?;
        }
        self.switches.push(switch.clone());
        Ok(switch)
    }
}

/// Describes a lab.
#[derive(Debug, Default)]
pub struct LabBuilder {
    networks: Vec<Network>,
}

impl LabBuilder {
    /// Adds a network.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.networks.push(network);
        self
    }

    /// Lays the lab.
    ///
    /// # Errors
    /// When not root, or when a tool fails; nothing is left behind then.
    pub fn build(self) -> Result<Lab> {
        let mut lab = Lab {
            gateway: Namespace::create("gateway")?,
            switches: Vec::new(),
            hosts: BTreeMap::new(),
            macs: BTreeMap::new(),
        };
        for network in &self.networks {
            lab.lay(network).with_context(|| format!("cannot lay network `{}`", network.name))?;
        }
        Ok(lab)
    }
}

/// Cables a device to a new port of a switch.
fn plug(
    switch: &Namespace,
    port: &str,
    device: (&Namespace, &str),
    network: &Network,
) -> Result<()> {
    network::cable((switch, port), device, network)?;
    switch.ip(&format!("link set {port} master bridge0"))?;
    Ok(())
}

fn mac_of(namespace: &Namespace, interface: &str) -> Result<String> {
    let links = namespace.ip(&format!("-json link show dev {interface}"))?;
    let links: serde_json::Value =
        serde_json::from_str(&links).context("`ip -json` is not JSON")?;
    let mac = links.pointer("/0/address").and_then(serde_json::Value::as_str);
    Ok(mac.with_context(|| format!("`{interface}` has no MAC address"))?.to_owned())
}
