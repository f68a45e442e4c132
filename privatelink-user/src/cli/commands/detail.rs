//! One object of the gateway in detail.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    show::{amount, connected, target_table},
    table::Table,
};
use crate::interface::types::{CatalogueEntry, Connection, Endpoint, Network, Service};

/// A network in detail.
pub(super) fn network(network: &Network) -> String {
    let mut lines = Lines::new("network", &network.name);
    lines.add("principal", &network.principal);
    lines.add("subnets", &network.subnets.join(" "));
    lines.add("interface", &network.interface);
    match network.ifindex {
        Some(ifindex) => lines.add("index", &ifindex.to_string()),
        None => lines.add("index", "the host has no interface of this name"),
    }
    lines.add("mac", network.mac.as_deref().unwrap_or_default());
    lines.add("mtu", &network.mtu.map(|mtu| mtu.to_string()).unwrap_or_default());
    let mode = network.xdp_mode.as_deref().unwrap_or("not attached");
    let reason = network.mode_reason.as_deref();
    lines.add("xdp", &reason.map_or_else(|| mode.to_owned(), |why| format!("{mode}: {why}")));
    lines.text
}

/// A service in detail, with its targets.
pub(super) fn service(service: &Service) -> String {
    let mut lines = Lines::new("service", &service.name);
    lines.add("description", service.description.as_deref().unwrap_or_default());
    lines.add("tags", &tags(&service.tags));
    lines.add("provider", &service.principal);
    lines.add("network", &service.network);
    lines.add("listeners", &service.listeners.join(" "));
    lines.add("acceptance", &service.acceptance);
    lines.add("allow", &service.allow.join(" "));
    lines.add("accept", &service.accept.join(" "));
    lines.add("source addresses", &service.source_addresses.join(" "));
    lines.add("endpoints", &service.endpoints.join(" "));
    lines.add("flows", &service.active_flows.to_string());
    lines.text + "\ntargets\n" + &target_table(&service.targets).render(2)
}

/// A service that the caller may connect to, and how.
pub(super) fn offered(service: &CatalogueEntry) -> String {
    let mut lines = Lines::new("service", &service.name);
    lines.add("description", service.description.as_deref().unwrap_or_default());
    lines.add("tags", &tags(&service.tags));
    lines.add("provider", &service.provider);
    lines.add("listeners", &service.listeners.join(" "));
    lines.add("acceptance", &service.acceptance);
    lines.add("private names", &service.private_names.join(" "));
    let connections: Vec<String> = service.connections.iter().map(connected).collect();
    lines.add("connections", &connections.join(", "));
    if connections.is_empty() {
        let name = &service.name;
        lines.text += "\nask for a connection: ";
        // Writing to a string cannot fail.
        let _ = writeln!(lines.text, "privatelink create endpoint --service {name} --network NET");
    }
    lines.text
}

fn tags(tags: &BTreeMap<String, String>) -> String {
    let tags: Vec<String> = tags.iter().map(|(word, value)| format!("{word}={value}")).collect();
    tags.join(" ")
}

/// An endpoint in detail, with its counters.
pub(super) fn endpoint(endpoint: &Endpoint) -> String {
    let mut lines = Lines::new("endpoint", &endpoint.name);
    lines.add("description", endpoint.description.as_deref().unwrap_or_default());
    lines.add("tags", &tags(&endpoint.tags));
    lines.add("consumer", &endpoint.principal);
    lines.add("network", &endpoint.network);
    lines.add("addresses", &endpoint.addresses.join(" "));
    lines.add("names", &endpoint.dns_names.join(" "));
    lines.add("service", &endpoint.service);
    lines.add("listeners", &endpoint.listeners.join(" "));
    lines.add("state", &endpoint.state);
    lines.add("flows", &format!("{} now, {} opened", endpoint.active_flows, endpoint.new_flows));
    let (share, borrowed) = (endpoint.flow_share, endpoint.borrowed_flows);
    lines.add("share of flows", &format!("{share}, {borrowed} more are borrowed"));
    let (ports, share) = (endpoint.source_ports, endpoint.source_port_share);
    let borrowed = endpoint.borrowed_source_ports;
    lines.add("source ports", &format!("{ports} now, {borrowed} of them borrowed"));
    lines.add("share of ports", &share.to_string());
    let carried = |packets: u64, bytes| format!("{packets} packets, {}", amount(bytes));
    lines.add("in", &carried(endpoint.packets_in, endpoint.bytes_in));
    lines.add("out", &carried(endpoint.packets_out, endpoint.bytes_out));
    lines.add("drops", &format!("{} packets", endpoint.drops));
    lines.text
}

/// A connection in detail, with its history.
pub(super) fn connection(connection: &Connection) -> String {
    let mut lines = Lines::new("connection", &connection.endpoint);
    lines.add("service", &connection.service);
    lines.add("provider", &connection.provider);
    lines.add("consumer", &connection.principal);
    lines.add("network", &connection.network);
    let drains = if connection.draining { ", draining" } else { "" };
    lines.add("message", connection.message.as_deref().unwrap_or_default());
    lines.add("state", &format!("{}{drains}", connection.state));
    lines.add("since", &connection.since);
    lines.add("until", connection.until.as_deref().unwrap_or_default());
    let mut table = Table::new(&["AT", "BY", "FROM", "TO", "UNTIL", "REASON"], &[]);
    for step in &connection.history {
        table.row([
            step.at.clone(),
            step.by.clone(),
            step.from.clone().unwrap_or_else(|| "-".into()),
            step.to.clone(),
            step.until.clone().unwrap_or_else(|| "-".into()),
            step.reason.clone(),
        ]);
    }
    lines.text + "\nhistory\n" + &table.render(2)
}

/// Names and values, one pair a line.
struct Lines {
    text: String,
}

impl Lines {
    fn new(kind: &str, name: &str) -> Self {
        Self { text: format!("{kind} {name}\n") }
    }

    /// Adds a pair, unless the value is empty.
    fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "  {name:<17}{value}");
        }
    }
}
