//! Tables of what the daemon answers.

use std::collections::{BTreeMap, BTreeSet};

use super::table::Table;
use crate::{
    cli::age::age,
    interface::types::{
        CatalogueConnection, CatalogueEntry, Connection, Endpoint, Flow, Network, Service, Target,
        Whois,
    },
    timestamp::Timestamp,
};

/// The networks as a table.
pub(super) fn networks(networks: &[Network], wide: bool) -> String {
    network_table(networks, wide).render(0)
}

/// The services as a table.
pub(super) fn services(services: &[Service], wide: bool) -> String {
    service_table(services, wide).render(0)
}

/// The services that the caller may connect to, as a table.
pub(super) fn catalogue(offered: &[CatalogueEntry], wide: bool) -> String {
    let heading =
        ["NAME", "PROVIDER", "LISTENERS", "ACCEPTANCE", "CONNECTIONS", "DESCRIPTION", "TAGS"];
    let mut table = Table::new(&heading, &[]);
    for one in offered {
        let connections: Vec<String> = one.connections.iter().map(connected).collect();
        table.row([
            one.name.clone(),
            one.provider.clone(),
            one.listeners.join(" "),
            one.acceptance.clone(),
            if connections.is_empty() { "-".into() } else { connections.join(", ") },
            one.description.clone().unwrap_or_else(|| "-".into()),
            tags(&one.tags),
        ]);
    }
    let table = if wide { table } else { table.without(&[6]) };
    table.render(0)
}

/// Tags on one line.
pub(super) fn tags(tags: &BTreeMap<String, String>) -> String {
    let tags: Vec<String> = tags.iter().map(|(word, value)| format!("{word}={value}")).collect();
    tags.join(" ")
}

/// An endpoint of the caller's, and its state.
pub(super) fn connected(one: &CatalogueConnection) -> String {
    format!("{} ({})", one.endpoint, one.state)
}

/// The targets as a table.
pub(super) fn targets(targets: &[Target], wide: bool) -> String {
    target_table(targets, wide).render(0)
}

/// The endpoints as a table.
pub(super) fn endpoints(endpoints: &[Endpoint], wide: bool) -> String {
    endpoint_table(endpoints, wide).render(0)
}

/// The flows as a table.
pub(super) fn flows(flows: &[Flow]) -> String {
    let heading = [
        "ENDPOINT", "PROTO", "CLIENT", "ADDRESS", "SOURCE", "TARGET", "STATE", "PACKETS", "BYTES",
        "IDLE",
    ];
    let mut table = Table::new(&heading, &[7, 8, 9]);
    for flow in flows {
        table.row([
            flow.endpoint.clone(),
            flow.protocol.clone(),
            flow.client.clone(),
            flow.address.clone(),
            flow.source.clone(),
            flow.target.clone(),
            flow.state.clone(),
            flow.packets.to_string(),
            flow.bytes.to_string(),
            format!("{}s", flow.idle_seconds),
        ]);
    }
    table.render(0)
}

/// The clients behind source addresses, as a table.
pub(super) fn whois(found: &[Whois]) -> String {
    let heading = [
        "SOURCE",
        "TARGET",
        "SERVICE",
        "PRINCIPAL",
        "NETWORK",
        "ENDPOINT",
        "CLIENT",
        "PROTO",
        "OPENED",
        "LAST PACKET",
        "LIVE",
    ];
    let mut table = Table::new(&heading, &[]);
    for one in found {
        table.row([
            one.source.clone(),
            one.target.clone(),
            one.service.clone(),
            one.principal.clone(),
            one.network.clone(),
            one.endpoint.clone(),
            one.client.clone(),
            one.protocol.clone(),
            one.opened.clone(),
            one.last.clone(),
            if one.live { "yes".into() } else { "no".into() },
        ]);
    }
    table.render(0)
}

/// The connections as a table.
pub(super) fn connections(connections: &[Connection], wide: bool) -> String {
    let now = Timestamp::now();
    let heading = [
        "ENDPOINT",
        "SERVICE",
        "PRINCIPAL",
        "STATE",
        "SINCE",
        "UNTIL",
        "BY",
        "REASON",
        "NETWORK",
        "PROVIDER",
    ];
    let mut table = Table::new(&heading, &[]);
    for one in connections {
        table.row([
            one.endpoint.clone(),
            one.service.clone(),
            one.principal.clone(),
            state(one),
            age(&one.since, now),
            one.until.as_ref().map_or_else(|| "-".into(), |until| age(until, now)),
            one.by.clone(),
            one.reason.clone(),
            one.network.clone(),
            one.provider.clone(),
        ]);
    }
    table.without(if wide { &[] } else { &[8, 9] }).render(0)
}

/// The state of a connection; of another site's service, what that site has decided as well.
fn state(one: &Connection) -> String {
    let own = if one.draining { format!("{}, draining", one.state) } else { one.state.clone() };
    match &one.site_state {
        Some(other) if *other != one.state => format!("{own}, there {other}"),
        Some(_) | None => own,
    }
}

/// The state of a connection after a decision, in a sentence.
pub(super) fn decided(one: &Connection) -> String {
    let until = one.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
    let drains = if one.draining { "; existing flows drain" } else { "" };
    let Connection { endpoint, service, state, .. } = one;
    format!("the connection of {endpoint} to {service} is {state}{until}{drains}\n")
}

/// Where the consumer of an endpoint now reaches the service.
pub(super) fn reached(one: &Endpoint) -> String {
    let names = match one.dns_names.as_slice() {
        [] => String::new(),
        names => format!(", and by the name {}", names.join(", ")),
    };
    format!(
        "{} now reaches it at {}, on {}{names}\n",
        one.principal,
        one.addresses.join(" and "),
        one.listeners.join(" ")
    )
}

/// Networks as a table.
pub(super) fn network_table(networks: &[Network], wide: bool) -> Table {
    let mut table =
        Table::new(&["NAME", "INTERFACE", "XDP", "MTU", "PRINCIPAL", "SUBNETS", "MAC"], &[3]);
    for network in networks {
        let missing = if network.ifindex.is_some() { "not attached" } else { "no interface" };
        table.row([
            network.name.clone(),
            network.interface.clone(),
            network.xdp_mode.clone().unwrap_or_else(|| missing.into()),
            network.mtu.map(|mtu| mtu.to_string()).unwrap_or_default(),
            network.principal.clone(),
            network.subnets.join("\n"),
            network.mac.clone().unwrap_or_default(),
        ]);
    }
    table.without(if wide { &[] } else { &[6] })
}

/// Services as a table.
pub(super) fn service_table(services: &[Service], wide: bool) -> Table {
    let heading = [
        "NAME",
        "PROVIDER",
        "NETWORK",
        "LISTENERS",
        "TARGETS",
        "ACCEPTANCE",
        "ENDPOINTS",
        "FLOWS",
        "ALLOW",
        "SOURCE",
    ];
    let mut table = Table::new(&heading, &[6, 7]);
    for service in services {
        // A target is listed once for each range of its ports.
        let addresses = |resolved: bool| {
            let targets = service.targets.iter();
            let targets = targets.filter(|target| !resolved || target.mac.is_some());
            targets.map(|target| &target.address).collect::<BTreeSet<_>>().len()
        };
        table.row([
            service.name.clone(),
            service.principal.clone(),
            service.network.clone(),
            service.listeners.join(" "),
            format!("{} of {} resolved", addresses(true), addresses(false)),
            service.acceptance.clone(),
            service.endpoints.len().to_string(),
            service.active_flows.to_string(),
            service.allow.join(" "),
            service.source.clone(),
        ]);
    }
    table.without(if wide { &[] } else { &[8, 9] })
}

/// Targets as a table.
pub(super) fn target_table(targets: &[Target], wide: bool) -> Table {
    let heading =
        ["SERVICE", "ADDRESS", "PORT", "WEIGHT", "HEALTH", "FLOWS", "NEXT HOP", "MAC", "REASON"];
    let mut table = Table::new(&heading, &[3, 5]);
    for target in targets {
        table.row([
            target.service.clone(),
            target.address.clone(),
            target.ports.clone(),
            target.weight.to_string(),
            target.health.clone(),
            target.active_flows.to_string(),
            target.next_hop.clone().unwrap_or_default(),
            target.mac.clone().unwrap_or_else(|| "unresolved".into()),
            target.reason.clone(),
        ]);
    }
    // Without an answer from the next hop, the reason says so.
    table.without(if wide { &[] } else { &[6, 7] })
}

/// Endpoints as a table.
pub(super) fn endpoint_table(endpoints: &[Endpoint], wide: bool) -> Table {
    let heading = [
        "NAME",
        "SERVICE",
        "NETWORK",
        "ADDRESSES",
        "STATE",
        "FLOWS",
        "IN",
        "OUT",
        "DROPS",
        "PRINCIPAL",
        "NAMES",
        "SOURCE",
    ];
    let mut table = Table::new(&heading, &[5, 6, 7, 8]);
    for endpoint in endpoints {
        table.row([
            endpoint.name.clone(),
            endpoint.service.clone(),
            endpoint.network.clone(),
            endpoint.addresses.join("\n"),
            endpoint.state.clone(),
            endpoint.active_flows.to_string(),
            amount(endpoint.bytes_in),
            amount(endpoint.bytes_out),
            endpoint.drops.to_string(),
            endpoint.principal.clone(),
            endpoint.dns_names.join("\n"),
            endpoint.source.clone(),
        ]);
    }
    table.without(if wide { &[] } else { &[9, 10, 11] })
}

/// A number of bytes in at most four digits, with its unit.
pub(super) fn amount(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut rest = bytes;
    let mut unit = 0;
    while rest >= 10_000 && unit + 1 < units.len() {
        rest /= 1_000;
        unit += 1;
    }
    format!("{rest} {}", units.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_site_has_decided_is_shown_where_it_differs() {
        let one = |other: Option<&str>| Connection {
            state: "available".into(),
            site_state: other.map(str::to_owned),
            ..Connection::default()
        };
        assert_eq!(state(&one(Some("pending-acceptance"))), "available, there pending-acceptance");
        assert_eq!(state(&one(Some("available"))), "available");
        assert_eq!(state(&one(None)), "available");
    }

    #[test]
    fn amounts_are_short() {
        for (bytes, text) in [(0, "0 B"), (9_999, "9999 B"), (10_000, "10 kB"), (u64::MAX, "18 EB")]
        {
            assert_eq!(amount(bytes), text);
        }
    }
}
