//! The checks that follow from the configuration, the host and discovered targets.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use super::check::{Check, Obstacle};
use crate::{
    host::HostFacts,
    model::{Model, Network},
    state::targets::{self, Inputs, TargetKey},
};

/// The check of every target that is to be checked.
pub fn wanted_checks(
    model: &Model,
    facts: &HostFacts,
    inputs: &Inputs,
) -> BTreeMap<TargetKey, Check> {
    let checked = targets::checked(model, inputs).into_iter();
    // A check of the gateway itself would tell a provider what its host serves.
    let checks = checked.filter_map(|(key, how)| {
        let service = model.services().get(&key.service)?;
        let network = model.networks().get(&service.network)?;
        if facts.is_gateway_itself(model, network, key.address) {
            return None;
        }
        let at = SocketAddr::new(key.address, key.port);
        let stack = facts.stack(&network.attachment).and_then(|link| link.name.parse().ok());
        let interface = stack.unwrap_or_else(|| network.attachment.interface.clone());
        let obstacle = obstacle(network, at, facts);
        Some((key, Check { at, interface, how: how.clone(), obstacle }))
    });
    checks.collect()
}

fn obstacle(network: &Network, at: SocketAddr, facts: &HostFacts) -> Option<Obstacle> {
    let interface = &network.attachment.interface;
    if facts.link(interface.as_str()).is_none() {
        return Some(Obstacle::NoInterface(interface.clone()));
    }
    let Some(link) = facts.stack(&network.attachment) else {
        let (interface, vlan) = (interface.clone(), network.attachment.vlan?);
        return Some(Obstacle::NoVlan { interface, vlan });
    };
    if !link.up {
        return Some(Obstacle::Down(link.name.parse().unwrap_or_else(|_| interface.clone())));
    }
    let mut own = facts.own_addresses(link.index);
    if own.any(|address| address.is_ipv4() == at.is_ipv4() && !is_automatic(address)) {
        return None;
    }
    let subnet = network.subnets.iter().find(|subnet| subnet.addr().is_ipv4() == at.is_ipv4());
    Some(Obstacle::NoAddress {
        family: if at.is_ipv4() { "IPv4" } else { "IPv6" },
        interface: interface.clone(),
        length: subnet.map_or(String::new(), |subnet| format!("/{}", subnet.prefix_len())),
    })
}

/// Whether the kernel has assigned the address by itself: every IPv6 interface has a link-local
/// address, which brings no route to the subnet. An IPv4 link-local address (169.254.0.0/16) was
/// configured and counts as an address of the gateway.
fn is_automatic(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, host::Link};

    const TEXT: &str = include_str!("../../desired/tests.toml");

    #[test]
    fn checks_need_an_address_of_the_gateways_own() {
        let text = TEXT.replacen("# rules", "health_check = { protocol = \"tcp\", port = 9 }", 1);
        let model = config::from_text("test.toml", &text).unwrap().model;
        let mut facts = HostFacts::default();
        let obstacles = |facts: &HostFacts| -> Vec<Option<String>> {
            let checks = wanted_checks(&model, facts, &Inputs::default());
            checks.into_values().map(|check| Some(check.obstacle?.to_string())).collect()
        };
        let says = |facts: &HostFacts, text: &str| {
            let found = obstacles(facts);
            assert_eq!(found.len(), 2);
            assert!(found.iter().flatten().all(|one| one.contains(text)), "{found:?}");
            assert_eq!(found.iter().flatten().count(), 2, "{found:?}");
        };
        says(&facts, "there is no interface veth-vendor");
        let mut link = Link {
            index: 3,
            name: "veth-vendor".into(),
            mac: Some([2; 6]),
            mtu: 1500,
            up: false,
            allmulti: false,
            tag: None,
        };
        facts.insert_link(link.clone());
        says(&facts, "veth-vendor is down");
        link.up = true;
        facts.insert_link(link);
        facts.insert_own_address(3, "fe80::1".parse().unwrap());
        says(&facts, "`ip address add ADDRESS/16 dev veth-vendor`");
        facts.insert_own_address(3, "10.0.0.1".parse().unwrap());
        assert_eq!(obstacles(&facts), [None, None]);
    }
}
