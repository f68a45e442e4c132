//! What a configuration says that is valid, and probably not meant.

use std::fmt;

use ipnet::IpNet;

use super::source::ObjectKind;
use crate::model::{Model, Name, Network};

/// Prefixes that one warning lists.
const SHOWN: usize = 3;

/// Something that the operator should look at; the configuration is used as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about, and what is odd about it.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Message and advice on one line.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

impl Warning {
    fn of(kind: ObjectKind, name: &Name, what: impl fmt::Display, help: String) -> Self {
        Self { message: format!("the {} `{name}`: {what}", kind.word()), help }
    }
}

/// Everything in a configuration that is probably not meant.
pub(super) fn warnings(model: &Model) -> Vec<Warning> {
    let routed = model.networks().values().filter_map(routed_twice);
    routed.chain(strangers(model)).chain(promised(model)).collect()
}

/// Limits that together let endpoints have more flows than there is room for.
fn promised(model: &Model) -> Option<Warning> {
    let gateway = model.gateway();
    let limits = model.endpoints().values().filter_map(|endpoint| endpoint.limits.flows);
    let sum: u64 = limits.map(|limit| limit.get()).sum();
    let room = u64::from(gateway.max_flows.get());
    let what =
        format!("the limits of endpoints are {sum} flows together, and `max_flows` is {room}");
    let help = "raise `max_flows`, or lower the limits: when the flow table is full, each endpoint \
                keeps no more than its share, whatever its limit is";
    (sum > room).then(|| Warning { message: what, help: help.to_owned() })
}

/// A prefix of `reachable_from` that adds nothing.
fn routed_twice(network: &Network) -> Option<Warning> {
    let within = |prefix: &IpNet| {
        let subnet = network.subnets.iter().find(|subnet| subnet.contains(prefix))?;
        Some(format!("`reachable_from` lists {prefix}, which is in the subnet {subnet}"))
    };
    let what = network.reachable_from.iter().find_map(within)?;
    let help = "remove it: the clients of a subnet need no router".to_owned();
    Some(Warning::of(ObjectKind::Network, &network.name, what, help))
}

/// Endpoints whose rules allow clients that their network does not have.
fn strangers(model: &Model) -> impl Iterator<Item = Warning> {
    model.endpoints().values().filter_map(|endpoint| {
        let network = model.networks().get(&endpoint.network)?;
        let own = IpNet::aggregate(&network.clients().collect());
        let allowed = endpoint.allow.iter().map(|rule| rule.from);
        let beyond = allowed.filter(|from| !own.iter().any(|prefix| prefix.contains(from)));
        let beyond: Vec<String> = beyond.map(|from| from.to_string()).collect();
        let more = match beyond.len() {
            0 => return None,
            count @ 1..=SHOWN => (count, String::new()),
            count => (SHOWN, format!(" and {} more", count - SHOWN)),
        };
        let listed = beyond.get(..more.0).unwrap_or_default().join(", ");
        let what = format!(
            "`allow` lists {listed}{}, beyond `subnets` and `reachable_from` of the network `{}`",
            more.1, network.name
        );
        let help = "list routed clients in the network's `reachable_from`, or narrow the rule: \
                    replies go to the host that sent a client's packets, whatever its address is";
        Some(Warning::of(ObjectKind::Endpoint, &endpoint.name, what, help.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const PARTS: &str = include_str!("../desired/tests.toml");

    fn said(from: &str, to: &str) -> Vec<String> {
        assert!(PARTS.contains(from), "{from}");
        let text = PARTS.replacen(from, to, 1);
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
        let routed = PARTS
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
