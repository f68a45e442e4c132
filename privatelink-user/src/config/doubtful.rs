//! What a configuration says that is valid, and probably not meant.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{
    source::ObjectKind::{
        Endpoint as OfEndpoint, Gateway, Network as OfNetwork, Service as OfService,
    },
    suggestion::suggestion,
    warning::Warning,
};
use crate::model::{
    Endpoint, EndpointAddresses, Model, Name, Network, Principals, SecurityRule, Service,
};

/// Prefixes and names that one warning lists.
const SHOWN: usize = 3;

/// Everything in a configuration that is probably not meant.
pub(super) fn warnings(model: &Model) -> Vec<Warning> {
    let routed = model.networks().values().filter_map(routed_twice);
    let services = model.services().values().filter_map(without_target);
    let endpoints = model.endpoints().values();
    let refused = endpoints.clone().filter_map(|one| not_admitted(model, one));
    let closed = endpoints.clone().filter_map(|one| without_client(model, one));
    let strangers = endpoints.filter_map(|one| strangers(model, one));
    let all = routed.chain(nobody(model)).chain(services).chain(refused).chain(closed);
    all.chain(strangers).chain(promised(model)).collect()
}

/// Those of [`warnings`] that are about one endpoint, which need not be in the model yet.
pub(super) fn of_endpoint(model: &Model, endpoint: &Endpoint) -> impl Iterator<Item = Warning> {
    let all = [not_admitted, without_client, strangers];
    all.into_iter().filter_map(|find| find(model, endpoint))
}

/// Principals that may connect and have no network to do so from.
fn nobody(model: &Model) -> Vec<Warning> {
    let owners: BTreeSet<&Name> = model.networks().values().map(|one| &one.principal).collect();
    let mut found = Vec::new();
    for service in model.services().values() {
        let Principals::Only(allowed) = &service.allow else { continue };
        for name in allowed.iter().filter(|name| !owners.contains(name)) {
            let near = suggestion(name.as_str(), owners.iter().map(|owner| owner.as_str()));
            let help = near.unwrap_or_else(|| {
                "add its network, or remove it: as it is, it admits no one".to_owned()
            });
            let what = format!("`allow` lists `{name}`, and no network has this `principal`");
            found.push(Warning::of((OfService, &service.name, "allow"), what, help));
        }
    }
    found
}

/// A service that no flow can go to a target of.
fn without_target(service: &Service) -> Option<Warning> {
    let own = service.listeners.iter().any(|listener| listener.target.is_some());
    let weighed = service.targets.iter().any(|target| target.weight.get() > 0);
    if own || weighed || service.targets_file.is_some() {
        return None;
    }
    let what = "every target has the weight 0, so new flows are refused";
    let help = "give a target a `weight` above 0";
    Some(Warning::of((OfService, &service.name, "target"), what, help))
}

/// An endpoint whose service does not admit the principal of its network.
fn not_admitted(model: &Model, endpoint: &Endpoint) -> Option<Warning> {
    let service = model.services().get(&endpoint.service)?;
    let principal = &model.networks().get(&endpoint.network)?.principal;
    if service.allow.contains(principal) {
        return None;
    }
    let what = format!(
        "its connection is rejected: `allow` of the service `{}` does not list `{principal}`",
        service.name
    );
    let help = format!("the provider adds \"{principal}\" to `allow`, or remove the endpoint");
    Some(Warning::of((OfEndpoint, &endpoint.name, "service"), what, help))
}

/// An endpoint whose security rules let no client reach anything.
fn without_client(model: &Model, endpoint: &Endpoint) -> Option<Warning> {
    let service = model.services().get(&endpoint.service)?;
    if endpoint.allow.is_empty() {
        return None;
    }
    let has_family = |is_v4: bool| match endpoint.addresses {
        EndpointAddresses::Auto => true,
        EndpointAddresses::Fixed(pair) => pair.iter().any(|address| address.is_ipv4() == is_v4),
    };
    let listens = |rule: &SecurityRule| {
        let offered = || service.listeners.iter().map(|listener| listener.ports);
        rule.ports.is_empty()
            || rule.ports.iter().any(|ports| offered().any(|it| it.overlaps(*ports)))
    };
    if endpoint.allow.iter().any(|rule| has_family(rule.from.addr().is_ipv4()) && listens(rule)) {
        return None;
    }
    let ports: Vec<String> =
        service.listeners.iter().map(|one| format!("{}/{}", one.protocol, one.ports)).collect();
    let what = format!(
        "its rules let no one in: none of them is for an address family of the endpoint and a port \
         of the service `{}`",
        service.name
    );
    let help = format!("correct `allow`; the service offers {}", listed(&ports));
    Some(Warning::of((OfEndpoint, &endpoint.name, "allow"), what, help))
}

/// Limits that together let endpoints have more flows than there is room for.
fn promised(model: &Model) -> Option<Warning> {
    let gateway = model.gateway();
    let limits = model.endpoints().values().filter_map(|endpoint| endpoint.limits.flows);
    let sum: u64 = limits.map(|limit| limit.get()).sum();
    let room = u64::from(gateway.max_flows.get());
    let message =
        format!("the limits of endpoints are {sum} flows together, and `max_flows` is {room}");
    let help = "raise `max_flows`, or lower the limits: when the flow table is full, each endpoint \
                keeps no more than its share, whatever its limit is";
    let about = (Gateway, gateway.name.clone());
    (sum > room).then(|| Warning { about, key: "max_flows", message, help: help.to_owned() })
}

/// A prefix of `reachable_from` that adds nothing.
fn routed_twice(network: &Network) -> Option<Warning> {
    let within = |prefix: &IpNet| {
        let subnet = network.subnets.iter().find(|subnet| subnet.contains(prefix))?;
        Some(format!("`reachable_from` lists {prefix}, which is in the subnet {subnet}"))
    };
    let what = network.reachable_from.iter().find_map(within)?;
    let help = "remove it: the clients of a subnet need no router";
    Some(Warning::of((OfNetwork, &network.name, "reachable_from"), what, help))
}

/// An endpoint whose rules allow clients that its network does not have.
fn strangers(model: &Model, endpoint: &Endpoint) -> Option<Warning> {
    let network = model.networks().get(&endpoint.network)?;
    let own = IpNet::aggregate(&network.clients().collect());
    let allowed = endpoint.allow.iter().map(|rule| rule.from);
    let beyond = allowed.filter(|from| !own.iter().any(|prefix| prefix.contains(from)));
    let beyond: Vec<String> = beyond.map(|from| from.to_string()).collect();
    if beyond.is_empty() {
        return None;
    }
    let what = format!(
        "`allow` lists {}, beyond `subnets` and `reachable_from` of the network `{}`",
        listed(&beyond),
        network.name
    );
    let help = "list routed clients in the network's `reachable_from`, or narrow the rule: \
                replies go to the host that sent a client's packets, whatever its address is";
    Some(Warning::of((OfEndpoint, &endpoint.name, "allow"), what, help))
}

/// The first of some words, and how many more there are.
fn listed(words: &[String]) -> String {
    let shown = words.get(..SHOWN.min(words.len())).unwrap_or_default().join(", ");
    match words.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_principal_without_a_network_is_pointed_out_with_the_one_that_is_meant() {
        assert_eq!(
            whole("allow = [\"acme\"", "allow = [\"acme\", \"amce\", \"initech\""),
            [
                "the service `web`: `allow` lists `amce`, and no network has this `principal`; did \
                 you mean `acme`?",
                "the service `web`: `allow` lists `initech`, and no network has this `principal`; \
                 add its network, or remove it: as it is, it admits no one",
            ]
        );
    }

    #[test]
    fn an_endpoint_that_is_rejected_is_pointed_out() {
        assert_eq!(
            whole("allow = [\"acme\"", "allow = [\"vendor\""),
            ["the endpoint `acme-web`: its connection is rejected: `allow` of the service `web` \
                 does not list `acme`; the provider adds \"acme\" to `allow`, or remove the endpoint"]
        );
    }

    #[test]
    fn rules_that_let_no_one_in_are_pointed_out() {
        for rule in ["{ from = \"10.1.0.0/24\", ports = [81] }", "{ from = \"fd00:1::/64\" }"] {
            let rules = format!("addresses = [\"10.1.0.50\"]\nallow = [{rule}]");
            let found = whole("addresses = [\"10.1.0.50\"]", &rules);
            let first = "the endpoint `acme-web`: its rules let no one in: none of them is for an \
                         address family of the endpoint and a port of the service `web`; correct \
                         `allow`; the service offers ";
            assert!(found.iter().any(|one| one.starts_with(first)), "{found:?}");
        }
    }

    #[test]
    fn a_service_without_a_weighed_target_is_pointed_out() {
        let mut parsed: toml::Table = parts().parse().unwrap();
        for service in parsed["service"].as_array_mut().unwrap() {
            for target in service["target"].as_array_mut().unwrap() {
                target.as_table_mut().unwrap().insert("weight".into(), 0.into());
            }
        }
        let text = toml::to_string(&parsed).unwrap();
        let model = config::from_text("test.toml", &text).unwrap().model;
        let found: Vec<String> = warnings(&model).iter().map(ToString::to_string).collect();
        assert_eq!(
            found[0],
            "the service `mail`: every target has the weight 0, so new flows are refused; give a \
             target a `weight` above 0"
        );
    }

    /// A configuration that is meant as it is.
    fn parts() -> String {
        include_str!("../desired/tests.toml").replacen("# rules", "allow = [\"acme\"]", 1)
    }

    fn whole(from: &str, to: &str) -> Vec<String> {
        let parts = parts();
        assert!(parts.contains(from), "{from}");
        let text = parts.replacen(from, to, 1);
        let model = config::from_text("test.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
        warnings(&model.model).iter().map(ToString::to_string).collect()
    }

    fn said(from: &str, to: &str) -> Vec<String> {
        let parts = parts();
        assert!(parts.contains(from), "{from}");
        let text = parts.replacen(from, to, 1);
        let model = config::from_text("test.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
        warnings(&model.model).into_iter().map(|warning| warning.message).collect()
    }

    #[test]
    fn what_is_meant_causes_no_warning() {
        assert_eq!(said("", ""), [""; 0]);
        let allow = "addresses = [\"10.1.0.50\"]\nallow = [{ from = \"10.1.7.0/24\" }]";
        assert_eq!(said("addresses = [\"10.1.0.50\"]", allow), [""; 0]);
        let routed = "interface = \"veth-acme\"\nreachable_from = [\"10.0.0.0/8\"]";
        assert_eq!(said("interface = \"veth-acme\"", routed), [""; 0]);
    }

    #[test]
    fn a_routed_prefix_within_a_subnet_is_pointed_out() {
        let routed =
            "interface = \"veth-acme\"\nreachable_from = [\"10.9.0.0/16\", \"10.1.2.0/24\"]";
        assert_eq!(
            said("interface = \"veth-acme\"", routed),
            [
                "the network `acme`: `reachable_from` lists 10.1.2.0/24, which is in the subnet 10.1.0.0/16"
            ]
        );
    }

    #[test]
    fn a_rule_for_clients_of_no_listed_prefix_is_pointed_out() {
        let all = "addresses = [\"10.1.0.50\"]\nallow = [{ from = \"10.1.0.0/16\" }, { from = \"0.0.0.0/0\" }]";
        assert_eq!(
            said("addresses = [\"10.1.0.50\"]", all),
            [
                "the endpoint `acme-web`: `allow` lists 0.0.0.0/0, beyond `subnets` and `reachable_from` of the network `acme`"
            ]
        );
    }

    #[test]
    fn limits_beyond_the_flow_table_are_pointed_out() {
        let limits = "addresses = [\"10.1.0.50\"]\nlimits = { flows = 2_000_000 }";
        assert_eq!(
            said("addresses = [\"10.1.0.50\"]", limits),
            ["the limits of endpoints are 2000000 flows together, and `max_flows` is 1000000"]
        );
    }

    #[test]
    fn routed_clients_may_be_in_rules() {
        let routed = parts()
            .replacen(
                "interface = \"veth-acme\"",
                "interface = \"veth-acme\"\nreachable_from = [\"10.0.0.0/16\"]",
                1,
            )
            .replacen(
                "addresses = [\"10.1.0.50\"]",
                "addresses = [\"10.1.0.50\"]\nallow = [{ from = \"10.0.0.0/15\" }]",
                1,
            );
        let model = config::from_text("test.toml", &routed).unwrap();
        assert_eq!(warnings(&model.model), [], "both halves of the prefix are listed");
    }
}
