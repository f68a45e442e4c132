//! The part of a page that is about the name server.

use super::{
    detail::Detail,
    family,
    inventory::Inventory,
    text::{Page, labels},
};
use crate::dns::status::{CODES, NetworkCounters, QueryCounters, ServerStatus};

/// Adds what the name server counts, if there are names to serve.
pub(super) fn add(
    page: &mut Page,
    status: Option<&ServerStatus>,
    inventory: &Inventory,
    detail: Detail,
) {
    let Some(ServerStatus { up, conflicts, networks }) = status else { return };
    page.family(&family::DNS_UP).add(&[], u8::from(*up));
    if detail.shows_gateway() {
        page.family(&family::DNS_CONFLICTS).add(&[], conflicts);
    }
    if !detail.shows_tenants() {
        return;
    }
    let shown = |name: &str| inventory.networks.iter().any(|network| network.name == name);
    let networks = networks.iter().filter(|(name, _)| detail.shows_gateway() || shown(name));
    let networks: Vec<(String, &NetworkCounters)> =
        networks.map(|(name, counters)| (labels(&[("network", name)]), counters)).collect();
    let mut tables = page.family(&family::DNS_TABLES);
    for (network, counters) in &networks {
        tables.add(&[network], counters.tables);
    }
    let counts: Vec<(String, &QueryCounters)> =
        networks.iter().flat_map(|(network, counters)| by_transport(network, counters)).collect();
    let mut queries = page.family(&family::DNS_QUERIES);
    for (labels, count) in &counts {
        queries.add(&[labels], count.queries);
    }
    let mut answers = page.family(&family::DNS_ANSWERS);
    for (of, count) in &counts {
        for (code, answered) in CODES.iter().zip(count.answers) {
            answers.add(&[of, &labels(&[("code", code)])], answered);
        }
    }
    let mut limited = page.family(&family::DNS_LIMITED);
    for (labels, count) in &counts {
        limited.add(&[labels, "result=\"truncated\""], count.truncated);
        limited.add(&[labels, "result=\"dropped\""], count.limited);
    }
    let mut ignored = page.family(&family::DNS_IGNORED);
    for (labels, count) in &counts {
        ignored.add(&[labels], count.ignored);
    }
    let mut forwarded = page.family(&family::DNS_FORWARDED);
    for (network, counters) in &networks {
        forwarded.add(&[network, "result=\"answered\""], counters.forwarded);
        forwarded.add(&[network, "result=\"failed\""], counters.failed);
    }
}

fn by_transport<'a>(
    network: &str,
    counters: &'a NetworkCounters,
) -> [(String, &'a QueryCounters); 2] {
    [("udp", &counters.udp), ("tcp", &counters.tcp)]
        .map(|(name, count)| (format!("{network},transport=\"{name}\""), count))
}
