//! One object of the gateway in detail.

use std::{fmt::Write as _, net::IpAddr};

use ipnet::IpNet;

use super::{
    show::{amount, connected, tags, target_table},
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
    lines.add("source addresses", &prefixes(&service.source_addresses));
    lines.add("endpoints", &several(&service.endpoints, &service.name));
    lines.add("flows", &service.active_flows.to_string());
    lines.text + "\ntargets\n" + &target_table(&service.targets, false).render(2)
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

/// Addresses as the prefixes that they make up.
fn prefixes(addresses: &[String]) -> String {
    let nets: Option<Vec<IpNet>> =
        addresses.iter().map(|text| text.parse::<IpAddr>().ok().map(IpNet::from)).collect();
    let Some(nets) = nets else { return addresses.join(" ") };
    let mut words: Vec<String> = Vec::new();
    for net in IpNet::aggregate(&nets) {
        let is_one = net.prefix_len() == net.max_prefix_len();
        words.push(if is_one { net.addr().to_string() } else { net.to_string() });
    }
    words.join(" ")
}

/// The endpoints of a service: a few, and how to list the others.
fn several(endpoints: &[String], service: &str) -> String {
    const SHOWN: usize = 8;
    let shown = endpoints.get(..SHOWN.min(endpoints.len())).unwrap_or_default().join(" ");
    match endpoints.len().saturating_sub(SHOWN) {
        0 => shown,
        more => {
            format!("{shown} and {more} more: privatelink endpoints --service {service}")
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_short_in_a_detail() {
        let addresses: Vec<String> = (240..248).map(|last| format!("10.0.0.{last}")).collect();
        assert_eq!(prefixes(&addresses), "10.0.0.240/29");
        assert_eq!(prefixes(&["10.0.0.7".into(), "fd00::f0".into()]), "10.0.0.7 fd00::f0");
        let many: Vec<String> = (0..2_000).map(|number| format!("e{number}")).collect();
        let line = several(&many, "web");
        assert!(line.len() < 100, "{line}");
        assert!(line.ends_with("and 1992 more: privatelink endpoints --service web"), "{line}");
    }
}
