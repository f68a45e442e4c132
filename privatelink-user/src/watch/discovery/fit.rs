//! Whether a discovered address can be a target: the same rules as `config` has for addresses in
//! the configuration.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    host::HostFacts,
    model::{Model, Service},
    state::addresses::Addresses,
};

/// Why an address cannot be a target of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It is not a host's unicast address.
    #[error("it is not a host's unicast address")]
    NoHost,
    /// The provider's network has no route to it.
    #[error("it is in no subnet of the service's network, which has no `gateway` that leads to it")]
    OutOfReach,
    /// The service has no source address of the same family.
    #[error("the service has no source address of its family")]
    NoSource,
    /// The gateway's host has the address.
    #[error("it is an address of the gateway's host")]
    Gateway,
    /// The gateway uses the address itself.
    #[error("the gateway uses it itself, as a source or endpoint address")]
    Own,
}

/// Checks whether a service may have a target at `address`.
///
/// # Errors
/// The rule that the address breaks.
pub fn fit(
    model: &Model,
    facts: &HostFacts,
    assigned: &Addresses,
    service: &Service,
    address: IpAddr,
) -> Result<(), Misfit> {
    let is_host = match address {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast()),
    };
    if !is_host {
        return Err(Misfit::NoHost);
    }
    let Some(network) = model.networks().get(&service.network) else {
        return Err(Misfit::OutOfReach);
    };
    match network.subnet_of(address) {
        Some(IpNet::V4(subnet)) => {
            let edges = [subnet.network(), subnet.broadcast()].map(IpAddr::from);
            if subnet.prefix_len() < 31 && edges.contains(&address) {
                return Err(Misfit::NoHost);
            }
        }
        Some(IpNet::V6(_)) => {}
        None if network.gateway_for(address).is_some() => {}
        None => return Err(Misfit::OutOfReach),
    }
    if facts.is_gateway_itself(model, network, address) {
        return Err(Misfit::Gateway);
    }
    if !service.source_addresses.iter().any(|source| source.is_ipv4() == address.is_ipv4()) {
        return Err(Misfit::NoSource);
    }
    let in_network = |other: &&Service| other.network == service.network;
    let mut services = model.services().values().filter(in_network);
    let mut endpoints = model.endpoints().values().filter(|one| one.network == service.network);
    let is_own = services.any(|other| other.source_addresses.contains(&address))
        || endpoints.any(|endpoint| {
            assigned.of(endpoint).is_some_and(|pair| pair.iter().any(|own| own == address))
        });
    if is_own { Err(Misfit::Own) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        host::{HostFacts, Link},
        state::{State, targets::Inputs},
        timestamp::Timestamp,
    };

    #[test]
    fn discovered_addresses_obey_the_rules_for_configured_ones() {
        let text = include_str!("../../desired/tests.toml");
        let text = text.replace("\"10.0.0.240/29\", \"fd00::f0/125\"", "\"10.0.0.240/29\"");
        let text = text.replace(
            "network = \"globex\"\naddresses = [\"10.1.0.50\", \"fd00:1::50\"]",
            "network = \"vendor\"\naddresses = [\"10.0.0.50\"]",
        );
        for (router, far) in
            [("# none", Err(Misfit::OutOfReach)), ("gateway = \"10.0.0.1\"", Ok(()))]
        {
            let model = config::from_text("test.toml", &text.replace("# router", router));
            let model = model.unwrap_or_else(|wrong| panic!("{wrong}")).model;
            let mut state = State::default();
            let (mut facts, inputs) = (HostFacts::default(), Inputs::default());
            facts.insert_link(Link {
                index: 2,
                name: "eth0".into(),
                mac: Some([2; 6]),
                mtu: 1500,
                up: true,
                allmulti: true,
                tag: None,
            });
            facts.insert_own_address(2, "10.9.0.9".parse().unwrap());
            state.follow(&model, &facts, &inputs, Timestamp::now()).unwrap();
            for (address, expected) in [
                ("10.0.0.30", Ok(())),
                ("10.0.0.241", Err(Misfit::Own)),
                ("10.0.0.50", Err(Misfit::Own)),
                ("10.0.255.255", Err(Misfit::NoHost)),
                ("224.0.0.1", Err(Misfit::NoHost)),
                ("::1", Err(Misfit::NoHost)),
                ("fd00::30", Err(Misfit::NoSource)),
                ("10.9.0.1", far),
                ("10.9.0.9", far.and(Err(Misfit::Gateway))),
            ] {
                let service = &model.services()["web"];
                let found =
                    fit(&model, &facts, &state.addresses, service, address.parse().unwrap());
                assert_eq!(found, expected, "{address} {router}");
            }
        }
    }
}
