//! What the name server needs, and the resolver that finds targets by name.

use super::{Finding, HostView};
use crate::model::{Model, TargetAddress};

/// Port 53 as `/proc/net` writes it.
const DOMAIN: &str = "0035";
/// All addresses, likewise.
const ANY: [&str; 2] = ["00000000", "00000000000000000000000000000000"];

/// Looks at what names need.
pub fn examine(host: &HostView, model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    if model.networks().values().any(|network| network.dns) {
        let taken = ["udp", "udp6", "tcp", "tcp6"].into_iter().find(|table| is_taken(host, table));
        if let Some(table) = taken {
            found.push(Finding::error(
                "port-53",
                format!(
                    "another program has port 53 of all addresses ({table}): names cannot be served"
                ),
                "run `ss -lnp 'sport = :53'`, and bind that program to its own addresses",
            ));
        }
    }
    let targets = model.services().values().flat_map(|service| &service.targets);
    let by_name = targets.filter(|target| matches!(target.address, TargetAddress::Dns(_))).count();
    let resolver = host.text("/etc/resolv.conf").unwrap_or_default();
    let has_server = resolver.lines().any(|line| line.trim_start().starts_with("nameserver"));
    if by_name > 0 && model.gateway().resolvers.is_empty() && !has_server {
        found.push(Finding::error(
            "resolver",
            format!("{by_name} targets are names, and /etc/resolv.conf has no name server"),
            "set `resolvers` of [gateway], or add a line `nameserver ADDRESS` to /etc/resolv.conf",
        ));
    }
    found
}

/// Whether a table of sockets has one on port 53 of all addresses that listens, or that is of UDP.
fn is_taken(host: &HostView, table: &str) -> bool {
    /// A socket that waits for connections, or an unconnected one of UDP.
    const WAITS: [&str; 2] = ["0A", "07"];
    let text = host.text(format!("/proc/net/{table}")).unwrap_or_default();
    text.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next(), words.nth(1));
        let local = local.and_then(|local| local.split_once(':'));
        local.is_some_and(|(address, port)| ANY.contains(&address) && port == DOMAIN)
            && state.is_some_and(|state| WAITS.contains(&state))
    })
}
