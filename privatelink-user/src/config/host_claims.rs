//! What a configuration takes from the host that it is read on, and expects of it: addresses and
//! interfaces.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{diagnostic::Diagnostics, load::Loaded, source::ObjectKind, warning::Warning};
use crate::model::{Attachment, Endpoint, EndpointAddresses, Model, Name, Network};

/// The host's own addresses at an attachment; `None` if it has no such interface.
pub type OwnAddresses<'a> = dyn Fn(&Attachment) -> Option<BTreeSet<IpAddr>> + 'a;

/// Refuses endpoint and source addresses that the host itself has, unless the network's
/// `taken_from_host` lists them: the host would lose what it serves there.
///
/// # Errors
/// Every such address.
pub fn review(loaded: &Loaded, own: &OwnAddresses<'_>) -> Result<(), Diagnostics> {
    let model = &loaded.model;
    let networks = model.networks().values();
    let own: BTreeMap<&Name, BTreeSet<IpAddr>> =
        networks.filter_map(|network| Some((&network.name, own(&network.attachment)?))).collect();
    let refused = claims(model).filter_map(|claim| {
        let Claim { kind, name, key, network, address } = claim;
        let has = own.get(&network.name).is_some_and(|own| own.contains(&address));
        if !has || network.taken_from_host.contains(&address) {
            return None;
        }
        let message = format!(
            "the {} `{name}` would take {address} from this host, which has that address on {}",
            kind.word(),
            network.attachment
        );
        let help = format!(
            "use a free address; or, if the host is not to be reached at it any more, write \
             `taken_from_host = [\"{address}\"]` in the network `{}`",
            network.name
        );
        Some(loaded.sources.refuse(kind, name, key, message, help))
    });
    refused.reduce(Diagnostics::and).map_or(Ok(()), Err)
}

/// Whether the host has none of an endpoint's addresses, so that [`review`] has nothing to say.
pub(super) fn is_free(model: &Model, endpoint: &Endpoint, own: &OwnAddresses<'_>) -> bool {
    let EndpointAddresses::Fixed(pair) = endpoint.addresses else { return true };
    let network = model.networks().get(&endpoint.network);
    let own = network.and_then(|network| own(&network.attachment)).unwrap_or_default();
    !pair.iter().any(|address| own.contains(&address))
}

/// Networks whose interface the host does not have; those of other sites are made by the daemon.
pub fn missing_interfaces(model: &Model, own: &OwnAddresses<'_>) -> Vec<Warning> {
    let is_site = |name| model.backbone().is_some_and(|backbone| backbone.site_of(name).is_some());
    let networks = model.networks().values().filter(|network| !is_site(&network.name));
    let missing = networks.filter(|network| own(&network.attachment).is_none());
    let warning = |network: &Network| {
        let interface = &network.attachment.interface;
        let what = format!(
            "this host has no interface `{interface}`, and nothing is forwarded until it has"
        );
        let help = "`ip link` lists the interfaces; correct `interface`, or create it";
        Warning::of((ObjectKind::Network, &network.name, "interface"), what, help)
    };
    missing.map(warning).collect()
}

/// An address that an object has in a network.
struct Claim<'a> {
    kind: ObjectKind,
    name: &'a Name,
    key: &'static str,
    network: &'a Network,
    address: IpAddr,
}

fn claims(model: &Model) -> impl Iterator<Item = Claim<'_>> {
    let services = model.services().values().filter_map(|service| {
        let network = model.networks().get(&service.network)?;
        let (kind, name, key) = (ObjectKind::Service, &service.name, "source_addresses");
        let of = move |address: &IpAddr| Claim { kind, name, key, network, address: *address };
        Some(service.source_addresses.iter().map(of))
    });
    let endpoints = model.endpoints().values().filter_map(|endpoint| {
        let network = model.networks().get(&endpoint.network)?;
        // Those that the gateway chooses are never the host's.
        let EndpointAddresses::Fixed(pair) = endpoint.addresses else { return None };
        let (kind, name, key) = (ObjectKind::Endpoint, &endpoint.name, "addresses");
        Some(pair.iter().map(move |address| Claim { kind, name, key, network, address }))
    });
    services.flatten().chain(endpoints.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;

    const PARTS: &str = include_str!("../desired/tests.toml");

    fn own(address: &str) -> impl Fn(&Attachment) -> Option<BTreeSet<IpAddr>> {
        let address = address.parse().unwrap();
        move |_| Some(BTreeSet::from([address]))
    }

    #[test]
    fn what_would_take_an_address_of_the_host_is_refused_unless_it_is_written_out() {
        let loaded = from_text("t.toml", PARTS).unwrap();
        review(&loaded, &|_| None).unwrap();
        review(&loaded, &own("10.1.0.1")).unwrap();
        let faults = review(&loaded, &own("10.1.0.50")).unwrap_err().to_json();
        assert_eq!(faults.len(), 2, "one in each network: {faults:?}");
        assert_eq!(
            faults[0]["message"],
            "the endpoint `acme-web` would take 10.1.0.50 from this host, which has that address on \
             interface veth-acme"
        );
        assert_eq!(faults[0]["text"], "[\"10.1.0.50\"]");
        let faults = review(&loaded, &own("10.0.0.240")).unwrap_err().to_json();
        let message = faults[0]["message"].as_str().unwrap();
        assert!(message.starts_with("the service `"), "{message}");
        let mut written = PARTS.to_owned();
        for interface in ["interface = \"veth-acme\"", "interface = \"veth-globex\""] {
            let both = format!("{interface}\ntaken_from_host = [\"10.1.0.50\"]");
            written = written.replace(interface, &both);
        }
        review(&from_text("t.toml", &written).unwrap(), &own("10.1.0.50")).unwrap();
    }

    #[test]
    fn an_interface_that_does_not_exist_is_pointed_out() {
        let loaded = from_text("t.toml", PARTS).unwrap();
        let exists = |attachment: &Attachment| {
            (attachment.interface.as_str() != "veth-acme").then(BTreeSet::new)
        };
        let found = missing_interfaces(&loaded.model, &exists);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0].to_string(),
            "the network `acme`: this host has no interface `veth-acme`, and nothing is forwarded \
             until it has; `ip link` lists the interfaces; correct `interface`, or create it"
        );
    }
}
