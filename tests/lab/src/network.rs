//! What a network of the lab looks like before it is laid.

use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnet::IpNet;

use super::{namespace::Namespace, tool};

/// The device of every host in the lab.
pub const DEVICE: &str = "eth0";

/// Parses an Ethernet address as `ip` prints it.
///
/// # Errors
/// When it is none.
pub fn ethernet_address(text: &str) -> Result<[u8; 6]> {
    let bytes: Result<Vec<u8>, _> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    bytes.with_context(|| format!("`{text}` is no Ethernet address"))
}

/// One network: hosts on one segment, and the gateway's interface `veth-NAME` in it.
///
/// With one host the segment is a cable; with several it is a switch.
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) name: String,
    pub(super) gateway: Vec<String>,
    pub(super) hosts: Vec<(String, Vec<String>)>,
    pub(super) mtu: u32,
    pub(super) queues: u32,
    pub(super) offloads: bool,
}

impl Network {
    /// Describes a network without hosts, in which the gateway has no address of its own.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            gateway: Vec::new(),
            hosts: Vec::new(),
            mtu: 1500,
            queues: 1,
            offloads: false,
        }
    }

    /// Describes a consumer's network: one client, 10.1.0.2/16 and fd00:1::2/64, named as the
    /// network.
    ///
    /// Several of these overlap entirely, as the networks of strangers do.
    pub fn consumer(name: &str) -> Self {
        Self::new(name).host(name, &["10.1.0.2/16", "fd00:1::2/64"])
    }

    /// Describes a provider's network: one server, 10.0.0.10/16 and fd00::10/64, named as the
    /// network.
    pub fn provider(name: &str) -> Self {
        Self::new(name).host(name, &["10.0.0.10/16", "fd00::10/64"])
    }

    /// Adds a host with its addresses (`"10.0.0.11/16"`).
    #[must_use]
    pub fn host(mut self, name: &str, addresses: &[&str]) -> Self {
        self.hosts.push((name.to_owned(), addresses.iter().map(ToString::to_string).collect()));
        self
    }

    /// Gives the gateway's own host addresses in this network; the hosts use them as default route.
    ///
    /// Of overlapping networks only one can have them, because a host stack has an address only
    /// once.
    #[must_use]
    pub fn gateway(mut self, addresses: &[&str]) -> Self {
        self.gateway = addresses.iter().map(ToString::to_string).collect();
        self
    }

    /// Sets the MTU of every device in the network.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = mtu;
        self
    }

    /// Sets the number of queues of the gateway's interface and of the device it is cabled to.
    #[must_use]
    pub fn queues(mut self, queues: u32) -> Self {
        self.queues = queues;
        self
    }

    /// Leaves offloads as they are by default, as containers have them: hosts leave checksums, and
    /// the cutting of long packets, to a device that does neither.
    #[must_use]
    pub fn with_offloads(mut self) -> Self {
        self.offloads = true;
        self
    }

    /// Returns the name of the gateway's interface in this network.
    pub fn interface(&self) -> String {
        interface_of(&self.name)
    }
}

/// Returns the name of the gateway's interface in a network.
pub fn interface_of(network: &str) -> String {
    format!("veth-{network}")
}

/// A laid host: its namespace and its addresses.
#[derive(Clone, Debug)]
pub struct Host {
    pub(super) name: String,
    pub(super) namespace: Namespace,
    pub(super) addresses: Vec<IpNet>,
}

impl Host {
    /// Returns the name by which the lab knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the namespace that it is.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns its addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(IpNet::addr).collect()
    }

    /// Returns a command that will run `program` on the host.
    pub fn command(&self, program: &str) -> std::process::Command {
        self.namespace.command(program)
    }

    /// Runs `work` on the host (see [`Namespace::run`]).
    ///
    /// # Errors
    /// As [`Namespace::run`].
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.namespace.run(work)
    }

    /// Makes the host send packets for `addresses` to the device with this MAC, without ARP.
    ///
    /// A host that respects routes and ARP never tries to reach a forbidden address; this one does.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn force(&self, addresses: &[IpAddr], mac: &str) -> Result<()> {
        for address in addresses {
            let neighbour = format!("{address} lladdr {mac} dev {DEVICE}");
            self.namespace.ip(&format!("neigh replace {neighbour} nud permanent"))?;
            self.namespace.ip(&format!("route replace {address} dev {DEVICE}"))?;
        }
        Ok(())
    }
}

/// Joins two namespaces by a cable: a pair of veth devices of these names.
///
/// # Errors
/// When `ip` fails.
pub fn cable(one: (&Namespace, &str), two: (&Namespace, &str), network: &Network) -> Result<()> {
    let queues = format!("numtxqueues {0} numrxqueues {0}", network.queues);
    let (device, peer, peer_namespace) = (one.1, two.1, two.0.name());
    one.0.ip(&format!(
        "link add {device} {queues} type veth peer name {peer} {queues} netns {peer_namespace}"
    ))?;
    for (namespace, device) in [one, two] {
        namespace.ip(&format!("link set {device} mtu {} up", network.mtu))?;
    }
    Ok(())
}

/// Makes the far end of a gateway's interface behave like one of a real card.
///
/// A veth takes redirected frames only when its peer polls (which GRO switches on), and a checksum
/// that the sender leaves to hardware would never be filled in.
///
/// # Errors
/// When `ethtool` fails.
pub fn behave_like_a_wire(namespace: &Namespace, device: &str) -> Result<()> {
    let mut command = namespace.command("ethtool");
    tool::run(command.args(["-K", device, "gro", "on", "tx", "off"]))?;
    Ok(())
}

/// Gives a device its addresses, usable at once.
///
/// # Errors
/// When an address cannot be read, or `ip` fails.
pub fn address(namespace: &Namespace, device: &str, addresses: &[String]) -> Result<Vec<IpNet>> {
    let mut given = Vec::new();
    for text in addresses {
        let address: IpNet = text
            .parse()
            .with_context(|| format!("`{text}` is not an address with a prefix length"))?;
        let nodad = if address.addr().is_ipv6() { " nodad" } else { "" };
        namespace.ip(&format!("address add {address} dev {device}{nodad}"))?;
        given.push(address);
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ethernet_address_has_six_bytes() {
        let address = ethernet_address("02:00:00:00:aa:ff").unwrap();
        assert_eq!(address, [2, 0, 0, 0, 0xaa, 0xff]);
        for wrong in ["", "02:00:00:00:aa", "02:00:00:00:aa:ff:00", "02:00:00:00:aa:fff"] {
            let error = ethernet_address(wrong).unwrap_err().to_string();
            assert_eq!(error, format!("`{wrong}` is no Ethernet address"));
        }
    }
}
