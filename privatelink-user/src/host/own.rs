//! Whether an address that a provider calls a target is the gateway itself: flows of consumers, and
//! health checks, must not reach what the gateway's host serves.

use std::net::IpAddr;

use super::facts::HostFacts;
use crate::model::{Model, Network};

impl HostFacts {
    /// Whether the gateway itself would be at `address`, as seen from a network.
    ///
    /// Another network may have a host with the same address as the gateway has elsewhere, so in the
    /// network's own subnets only the interface there counts. Behind a router may be anything that
    /// the gateway is, except what it is in other networks: those never meet.
    pub fn is_gateway_itself(&self, model: &Model, network: &Network, address: IpAddr) -> bool {
        let mut interfaces = self.interfaces_with(address).peekable();
        if interfaces.peek().is_none() {
            return false;
        }
        let index_of = |network: &Network| self.stack(&network.attachment).map(|link| link.index);
        let here = index_of(network);
        let is_routed = network.subnet_of(address).is_none();
        let of_network =
            |index| model.networks().values().any(|other| index_of(other) == Some(index));
        interfaces.any(|index| Some(index) == here || is_routed && !of_network(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, host::Link};

    #[test]
    fn other_networks_may_have_the_gateways_addresses() {
        let text =
            include_str!("../desired/tests.toml").replace("# router", "gateway = [\"10.0.0.254\"]");
        let model = config::from_text("t.toml", &text).unwrap().model;
        let mut facts = HostFacts::default();
        for (index, name) in [(2, "eth0"), (3, "veth-vendor"), (4, "veth-acme")] {
            facts.insert_link(Link {
                index,
                name: name.into(),
                mac: Some([2; 6]),
                mtu: 1500,
                up: true,
                allmulti: true,
                tag: None,
            });
        }
        for (index, address) in
            [(2, "192.0.2.7"), (2, "10.0.0.30"), (3, "10.0.0.1"), (4, "10.1.0.1"), (4, "10.0.0.20")]
        {
            facts.insert_own_address(index, address.parse().unwrap());
        }
        for (network, address, own) in [
            // On the network's own interface.
            ("vendor", "10.0.0.1", true),
            // Another host of the network, whatever the gateway is elsewhere.
            ("vendor", "10.0.0.20", false),
            ("vendor", "10.0.0.30", false),
            // Behind the router: the gateway's management address, but no address of a consumer's.
            ("vendor", "192.0.2.7", true),
            ("vendor", "10.1.0.1", false),
            ("vendor", "192.0.2.8", false),
            ("acme", "10.1.0.1", true),
        ] {
            let found = facts.is_gateway_itself(
                &model,
                &model.networks()[network],
                address.parse().unwrap(),
            );
            assert_eq!(found, own, "{network} {address}");
        }
    }
}
