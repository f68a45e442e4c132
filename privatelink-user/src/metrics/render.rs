//! The page of a scrape: what the maps count, under the names that the objects have now.

use std::{collections::BTreeMap, fmt::Display};

use privatelink_common::{EndpointCounters, Reason, TargetCounters};

use super::{
    census::Census,
    detail::Detail,
    family::{self, Family},
    inventory::{Endpoint, Inventory, Progress},
    names, sites,
    text::{Format, Page, labels},
};
use crate::{
    api::wrong_keys,
    backbone::Overview,
    datapath::bpf::{self, Reader},
    desired::share::SourcePorts,
    dns,
    flow_log::RecordCounts,
    interface::types::{LeftOut, Owned},
    timestamp::Timestamp,
};

/// The room that a page reserves for each endpoint, in bytes; rather too much.
const BYTES_PER_ENDPOINT: usize = 1_024;

/// What the maps hold at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// The counters of endpoints, in the order of the inventory.
    pub endpoints: Vec<EndpointCounters>,
    /// The flows of endpoints, in the order of the inventory.
    pub active: Vec<u64>,
    /// Source ports that endpoints have, by index and table of blocks.
    pub source_ports: BTreeMap<(u32, u32), u64>,
    /// The counters of targets, in the order of the inventory.
    pub targets: Vec<TargetCounters>,
    /// Packets not forwarded, by reason.
    pub drops: Vec<(Reason, u64)>,
    /// Packets not forwarded, by endpoint index and reason.
    pub endpoint_drops: BTreeMap<u32, BTreeMap<Reason, u64>>,
    /// Flow-end records dropped because the ring was full.
    pub ends_lost: u64,
    /// Refused flows not reported to the daemon.
    pub refusals_left_out: u64,
    /// ICMP errors not sent because there were too many.
    pub errors_left_out: u64,
    /// Flows in the flow table.
    pub flows: u64,
    /// Records that the flow log has written and lost.
    pub records: RecordCounts,
    /// What principals have caused beyond their budgets.
    pub left_out: Vec<LeftOut>,
    /// What the name server counts; absent if there are no names to serve.
    pub names: Option<dns::ServerStatus>,
    /// The links to other sites.
    pub links: Overview,
}

impl Readings {
    /// Reads the counters of the objects in an inventory.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn take(reader: &Reader, inventory: &Inventory) -> Result<Self, bpf::Error> {
        let endpoints: Vec<u32> = inventory.endpoints.iter().map(|one| one.index).collect();
        let targets: Vec<u32> = inventory.targets.iter().map(|one| one.index).collect();
        Ok(Self {
            endpoints: reader.counters(&endpoints)?,
            active: reader.active_flows(&endpoints),
            source_ports: reader.source_ports(),
            targets: reader.target_counters(&targets)?,
            drops: reader.drops()?,
            endpoint_drops: reader.endpoint_drops()?,
            ends_lost: reader.ends_lost()?,
            refusals_left_out: reader.refusals_left_out()?,
            errors_left_out: reader.errors_left_out()?,
            flows: reader.flow_count()?,
            records: RecordCounts::default(),
            left_out: Vec::new(),
            names: None,
            links: Overview::default(),
        })
    }
}

/// Writes the page of a scrape.
pub fn page(
    format: Format,
    inventory: &Inventory,
    readings: &Readings,
    census: &Census,
    detail: Detail,
) -> String {
    let objects = if detail.shows_tenants() { inventory.endpoints.len() } else { 0 };
    let mut page = Page::new(format, 8_192 + objects * BYTES_PER_ENDPOINT);
    let build = [("gateway", inventory.gateway.as_str()), ("version", env!("CARGO_PKG_VERSION"))];
    page.family(&family::BUILD).add(&[&labels(&build)], 1);
    if detail.shows_gateway() {
        gateway(&mut page, inventory, readings);
    }
    names::add(&mut page, readings.names.as_ref(), inventory, detail);
    if detail.shows_tenants() {
        let mut attached = page.family(&family::NETWORK_ATTACHED);
        for network in &inventory.networks {
            attached.add(&[&network.labels], u8::from(network.attached));
        }
        sites::add(&mut page, &readings.links, inventory);
        left_out(&mut page, inventory, &readings.left_out);
        principals(&mut page, inventory, readings);
        services(&mut page, inventory, census);
        targets(&mut page, inventory, readings, census);
        endpoints(&mut page, inventory, readings);
    }
    page.finish()
}

/// What principals have and may have.
fn principals(page: &mut Page, inventory: &Inventory, readings: &Readings) {
    let mut flows = vec![0; inventory.uses.len()];
    for (endpoint, active) in inventory.endpoints.iter().zip(&readings.active) {
        if let Some(flows) = endpoint.owner.and_then(|owner| flows.get_mut(owner)) {
            *flows += active;
        }
    }
    let label =
        |principal: &str, what: &str| labels(&[("principal", principal), ("resource", what)]);
    let mut used = page.family(&family::PRINCIPAL_USED);
    for (one, flows) in inventory.uses.iter().zip(flows) {
        for (what, amount) in (Owned { flows, ..one.used.clone() }).amounts() {
            used.add(&[&label(&one.name, what)], amount);
        }
    }
    let mut quotas = page.family(&family::PRINCIPAL_QUOTA);
    for one in &inventory.uses {
        for (what, limit) in one.quota.limits() {
            quotas.add(&[&label(&one.name, what)], limit);
        }
    }
}

fn gateway(page: &mut Page, inventory: &Inventory, readings: &Readings) {
    progress(page, &inventory.progress);
    page.family(&family::FLOW_TABLE_FLOWS).add(&[], readings.flows);
    page.family(&family::FLOW_TABLE_CAPACITY).add(&[], inventory.capacity);
    let mut drops = page.family(&family::DROPS);
    for (reason, count) in &readings.drops {
        drops.add(&[&labels(&[("reason", reason.name())])], count);
    }
    page.family(&family::ENDS_LOST).add(&[], readings.ends_lost);
    page.family(&family::REFUSALS_LEFT_OUT).add(&[], readings.refusals_left_out);
    page.family(&family::ERRORS_LEFT_OUT).add(&[], readings.errors_left_out);
    page.family(&family::WRONG_KEYS).add(&[], wrong_keys());
    let mut records = page.family(&family::FLOW_LOG_RECORDS);
    records.add(&["result=\"written\""], readings.records.written);
    records.add(&["result=\"lost\""], readings.records.lost);
}

fn progress(page: &mut Page, progress: &Progress) {
    let mut single = |family, value: &dyn Display| page.family(family).add(&[], value);
    single(&family::START_TIME, &seconds(progress.started));
    single(&family::READY, &u8::from(progress.ready));
    single(&family::PROBLEMS, &progress.problems);
    single(&family::CONVERGED, &progress.converged.map_or(0.0, seconds));
    let mut reloads = page.family(&family::RELOADS);
    reloads.add(&["result=\"success\""], progress.reloaded);
    reloads.add(&["result=\"failure\""], progress.refused);
    let mut single = |family, value: &dyn Display| page.family(family).add(&[], value);
    single(&family::RELOAD_SUCCESSFUL, &u8::from(progress.last_applied));
    single(&family::RELOAD_TIME, &seconds(progress.applied));
    single(&family::RELOAD_DURATION, &progress.took.as_secs_f64());
}

fn seconds(moment: Timestamp) -> f64 {
    moment.since(Timestamp::from_millis(0)).as_secs_f64()
}

fn left_out(page: &mut Page, inventory: &Inventory, all: &[LeftOut]) {
    let mut counts = |family, count: fn(&LeftOut) -> u64| {
        let mut samples = page.family(family);
        for principal in &inventory.principals {
            let known = all.iter().find(|one| one.principal == *principal);
            samples.add(&[&labels(&[("principal", principal)])], known.map_or(0, count));
        }
    };
    counts(&family::EVENTS_LEFT_OUT, |one| one.events);
    counts(&family::EVENTS_UNLOGGED, |one| one.unlogged_events);
    counts(&family::EVENTS_UNDELIVERED, |one| one.undelivered_events);
    counts(&family::REFUSED_FLOWS_UNLOGGED, |one| one.refused_flows);
}

fn services(page: &mut Page, inventory: &Inventory, census: &Census) {
    let mut endpoints = page.family(&family::SERVICE_ENDPOINTS);
    for service in &inventory.services {
        for (state, count) in &service.endpoints {
            endpoints.add(&[&service.labels, &labels(&[("state", state.word())])], count);
        }
    }
    let mut targets = page.family(&family::SERVICE_TARGETS);
    for service in &inventory.services {
        for (health, count) in &service.targets {
            targets.add(&[&service.labels, &labels(&[("health", health)])], count);
        }
    }
    let mut ports = page.family(&family::SERVICE_PORTS_USED);
    for (service, fullest) in inventory.services.iter().zip(census.fullest(inventory)) {
        ports.add(&[&service.labels], fullest.ratio());
    }
}

const IN: &str = "direction=\"in\"";
const OUT: &str = "direction=\"out\"";

/// One counter of an object, and the label that tells it from the others of its family.
type Part<C> = (&'static str, fn(&C) -> u64);

fn targets(page: &mut Page, inventory: &Inventory, readings: &Readings, census: &Census) {
    let mut resolved = page.family(&family::TARGET_RESOLVED);
    for target in &inventory.targets {
        resolved.add(&[&target.labels], u8::from(target.resolved));
    }
    let mut active = page.family(&family::TARGET_ACTIVE_FLOWS);
    let by_target = census.by_target();
    for target in &inventory.targets {
        active.add(&[&target.labels], by_target.get(&target.index).unwrap_or(&0));
    }
    let families: [(&'static Family, &[Part<TargetCounters>]); 7] = [
        (&family::TARGET_NEW_FLOWS, &[("", |of| of.opened)]),
        (&family::TARGET_ANSWERED, &[("", |of| of.answered)]),
        (&family::TARGET_REFUSED, &[("", |of| of.refused)]),
        (&family::TARGET_RESETS, &[("", |of| of.resets)]),
        (&family::TARGET_UNREACHABLE, &[("", |of| of.unreachable)]),
        (&family::TARGET_PACKETS, &[(IN, |of| of.packets_in), (OUT, |of| of.packets_out)]),
        (&family::TARGET_BYTES, &[(IN, |of| of.bytes_in), (OUT, |of| of.bytes_out)]),
    ];
    for (family, parts) in families {
        let mut samples = page.family(family);
        for (target, counters) in inventory.targets.iter().zip(&readings.targets) {
            for (label, value) in parts {
                samples.add(&[&target.labels, label], value(counters));
            }
        }
    }
}

fn endpoints(page: &mut Page, inventory: &Inventory, readings: &Readings) {
    let mut states = page.family(&family::ENDPOINT_STATE);
    for endpoint in &inventory.endpoints {
        states.add(&[&endpoint.labels, &labels(&[("state", endpoint.state.word())])], 1);
    }
    let resets: &[Part<EndpointCounters>] =
        &[("from=\"consumer\"", |of| of.resets_in), ("from=\"target\"", |of| of.resets_out)];
    let families: [(&'static Family, &[Part<EndpointCounters>]); 6] = [
        (&family::ENDPOINT_PACKETS, &[(IN, |of| of.packets_in), (OUT, |of| of.packets_out)]),
        (&family::ENDPOINT_BYTES, &[(IN, |of| of.bytes_in), (OUT, |of| of.bytes_out)]),
        (&family::ENDPOINT_NEW_FLOWS, &[("", |of| of.new_flows)]),
        (&family::ENDPOINT_RESETS, resets),
        (&family::ENDPOINT_ANSWERS, &[("", |of| of.answers)]),
        (&family::ENDPOINT_ERRORS, &[("", |of| of.errors)]),
    ];
    for (family, parts) in families {
        let mut samples = page.family(family);
        for (endpoint, counters) in inventory.endpoints.iter().zip(&readings.endpoints) {
            for (label, value) in parts {
                samples.add(&[&endpoint.labels, label], value(counters));
            }
        }
    }
    shares(page, inventory, readings);
    let mut drops = page.family(&family::ENDPOINT_DROPS);
    for endpoint in &inventory.endpoints {
        for (reason, count) in readings.endpoint_drops.get(&endpoint.index).into_iter().flatten() {
            drops.add(&[&endpoint.labels, &labels(&[("reason", reason.name())])], count);
        }
    }
}

/// What endpoints use of the gateway, what they may count on, and what they borrow.
fn shares(page: &mut Page, inventory: &Inventory, readings: &Readings) {
    let flows = inventory.endpoints.iter().zip(readings.active.iter().copied());
    let uses: Vec<(&Endpoint, u64, SourcePorts)> = flows
        .map(|(endpoint, flows)| {
            let ports =
                SourcePorts::of(endpoint.index, &endpoint.port_pools, &readings.source_ports);
            (endpoint, flows, ports)
        })
        .collect();
    type Value = fn(&Endpoint, u64, SourcePorts) -> u64;
    let families: [(&Family, Value); 6] = [
        (&family::ENDPOINT_ACTIVE_FLOWS, |_, flows, _| flows),
        (&family::ENDPOINT_FLOW_SHARE, |endpoint, _, _| endpoint.flow_share),
        (&family::ENDPOINT_BORROWED_FLOWS, |endpoint, flows, _| {
            flows.saturating_sub(endpoint.flow_share)
        }),
        (&family::ENDPOINT_SOURCE_PORTS, |_, _, ports| ports.used),
        (&family::ENDPOINT_SOURCE_PORT_SHARE, |_, _, ports| ports.share),
        (&family::ENDPOINT_BORROWED_SOURCE_PORTS, |_, _, ports| ports.borrowed),
    ];
    for (family, value) in families {
        let mut samples = page.family(family);
        for (endpoint, flows, ports) in &uses {
            samples.add(&[&endpoint.labels], value(endpoint, *flows, *ports));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backbone::SiteView,
        dns::status::{NetworkCounters, QueryCounters, ServerStatus},
        metrics::inventory::tests::inventory,
    };

    /// A network of the inventory, as if it were another site's; and one that it does not have.
    fn links() -> Overview {
        let mut links = Overview::default();
        for name in ["acme", "elsewhere"] {
            let view: &mut SiteView = links.sites.entry(name.parse().unwrap()).or_default();
            view.heard = Some(std::time::Instant::now());
            view.handshake = Some(std::time::SystemTime::now());
            view.bytes = (17, 18);
        }
        links
    }

    #[test]
    fn a_site_has_its_series_for_those_who_see_its_network() {
        let page = everything(&inventory());
        for line in [
            "privatelink_site_up{site=\"acme\"} 1",
            "privatelink_site_bytes_total{site=\"acme\",direction=\"in\"} 17",
            "privatelink_site_bytes_total{site=\"acme\",direction=\"out\"} 18",
        ] {
            assert!(page.lines().any(|one| one == line), "{line}: {page}");
        }
        assert!(page.contains("privatelink_site_handshake_age_seconds{site=\"acme\"}"));
        assert!(!page.contains("elsewhere"));
    }

    fn status() -> ServerStatus {
        let answers = [0, 0, 0, 4, 0, 0, 0];
        let udp = QueryCounters { queries: 9, answers, limited: 5, ..QueryCounters::default() };
        let tcp = QueryCounters { ignored: 6, ..QueryCounters::default() };
        let counters =
            NetworkCounters { tables: 3, udp, tcp, failed: 7, ..NetworkCounters::default() };
        ServerStatus { up: true, conflicts: 2, networks: [("acme".to_owned(), counters)].into() }
    }

    /// What the maps hold, with drops of the endpoint of this index.
    fn readings(index: u32) -> Readings {
        let counters = EndpointCounters { packets_in: 7, bytes_out: 900, ..Default::default() };
        Readings {
            endpoints: vec![counters],
            active: vec![6],
            targets: vec![TargetCounters { refused: 3, ..Default::default() }; 2],
            drops: vec![(Reason::NoFlow, 3)],
            endpoint_drops: [(index, [(Reason::NotAllowed, 4)].into())].into(),
            flows: 5,
            records: RecordCounts { written: 8, lost: 2 },
            left_out: vec![LeftOut {
                principal: "acme".into(),
                events: 12,
                refused_flows: 13,
                unlogged_events: 14,
                undelivered_events: 15,
            }],
            names: Some(status()),
            links: links(),
            ..Readings::default()
        }
    }

    /// The page for somebody who may see all of it.
    fn everything(inventory: &Inventory) -> String {
        let readings = readings(inventory.endpoints[0].index);
        page(Format::Plain, inventory, &readings, &Census::default(), Detail::Everything)
    }

    #[test]
    fn what_principals_caused_beyond_their_budgets_is_counted() {
        let page = everything(&inventory());
        for line in [
            "privatelink_events_unlogged_total{principal=\"acme\"} 14",
            "privatelink_events_undelivered_total{principal=\"acme\"} 15",
            "privatelink_events_undelivered_total{principal=\"vendor\"} 0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn each_family_has_samples_with_its_labels() {
        let mut inventory = inventory();
        inventory.progress.reloaded(false, std::time::Duration::from_millis(1500));
        let page = everything(&inventory);
        for line in [
            "privatelink_build_info{gateway=\"gw-a\",version=\"0.1.0\"} 1",
            "privatelink_ready 0",
            "privatelink_reloads_total{result=\"failure\"} 1",
            "privatelink_last_reload_successful 0",
            "privatelink_last_reload_duration_seconds 1.5",
            "privatelink_flow_table_flows 5",
            "privatelink_flow_table_capacity_flows 1000",
            "privatelink_drops_total{reason=\"no_flow\"} 3",
            "privatelink_flow_log_records_total{result=\"written\"} 8",
            "privatelink_flow_log_records_total{result=\"lost\"} 2",
            "privatelink_dns_server_up 1",
            "privatelink_dns_conflicts 2",
            "privatelink_dns_tables_total{network=\"acme\"} 3",
            "privatelink_dns_queries_total{network=\"acme\",transport=\"udp\"} 9",
            "privatelink_dns_answers_total{network=\"acme\",transport=\"udp\",\
             code=\"nxdomain\"} 4",
            "privatelink_dns_limited_total{network=\"acme\",transport=\"udp\",\
             result=\"dropped\"} 5",
            "privatelink_dns_limited_total{network=\"acme\",transport=\"tcp\",\
             result=\"truncated\"} 0",
            "privatelink_dns_ignored_total{network=\"acme\",transport=\"tcp\"} 6",
            "privatelink_dns_forwarded_total{network=\"acme\",result=\"failed\"} 7",
            "privatelink_network_attached{network=\"acme\",interface=\"acme0\",mode=\"none\"} 0",
            "privatelink_events_left_out_total{principal=\"acme\"} 12",
            "privatelink_events_left_out_total{principal=\"vendor\"} 0",
            "privatelink_refused_flows_unlogged_total{principal=\"acme\"} 13",
            "privatelink_service_endpoints{service=\"a\",state=\"pending-acceptance\"} 1",
            "privatelink_service_targets{service=\"b\",health=\"unreachable\"} 1",
            "privatelink_service_source_ports_used_ratio{service=\"b\"} 0",
            "privatelink_endpoint_packets_total{endpoint=\"acme-a\",service=\"a\",\
             network=\"acme\",direction=\"in\"} 7",
            "privatelink_endpoint_bytes_total{endpoint=\"acme-a\",service=\"a\",\
             network=\"acme\",direction=\"out\"} 900",
            "privatelink_endpoint_drops_total{endpoint=\"acme-a\",service=\"a\",\
             network=\"acme\",reason=\"not_allowed\"} 4",
            "privatelink_endpoint_active_flows{endpoint=\"acme-a\",service=\"a\",\
             network=\"acme\"} 6",
            "privatelink_endpoint_borrowed_source_ports{endpoint=\"acme-a\",service=\"a\",\
             network=\"acme\"} 0",
            "privatelink_target_refused_flows_total{service=\"a\",target=\"10.0.0.10\"} 3",
        ] {
            assert!(page.lines().any(|found| found == line), "{line:?} is not in\n{page}");
        }
        for family in family::ALL {
            let samples = page.lines().filter_map(|line| line.strip_prefix(family.name));
            let labels = samples.filter(|rest| rest.starts_with([' ', '{'])).map(|rest| {
                let inside = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
                let pairs = inside.into_iter().flat_map(|inside| inside.split(','));
                pairs.filter_map(|pair| pair.split('=').next()).collect::<Vec<_>>()
            });
            let labels: Vec<_> = labels.collect();
            assert!(!labels.is_empty(), "{} has no sample", family.name);
            assert!(labels.iter().all(|labels| labels == family.labels), "{}", family.name);
        }
    }

    #[test]
    fn principals_have_their_use_and_their_quota() {
        let inventory = inventory();
        let readings = readings(inventory.endpoints[0].index);
        let census = Census::default();
        let page = page(Format::Plain, &inventory, &readings, &census, Detail::Tenants);
        for line in [
            "privatelink_principal_used{principal=\"acme\",resource=\"flows\"} 6",
            "privatelink_principal_used{principal=\"vendor\",resource=\"services\"} 2",
            "privatelink_principal_quota{principal=\"acme\",resource=\"endpoints\"} 5",
        ] {
            assert!(page.contains(&format!("{line}\n")), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn totals_name_no_tenant_and_tenants_see_no_totals() {
        let inventory = inventory();
        let readings = readings(inventory.endpoints[0].index);
        let page = |detail| page(Format::Plain, &inventory, &readings, &Census::default(), detail);
        let totals = page(Detail::Totals);
        for name in ["acme", "vendor", "10.0.0.10", "service=", "network=", "endpoint="] {
            assert!(!totals.contains(name), "{name} is in\n{totals}");
        }
        assert!(totals.contains("privatelink_drops_total{reason=\"no_flow\"} 3\n"), "{totals}");
        assert!(totals.contains("privatelink_dns_server_up 1\n"), "{totals}");
        let tenants = page(Detail::Tenants);
        for total in ["privatelink_drops_total", "privatelink_problems", "privatelink_flow_table"] {
            assert!(!tenants.contains(total), "{total} is in\n{tenants}");
        }
        assert!(tenants.contains("privatelink_endpoint_active_flows{"), "{tenants}");
        assert!(tenants.contains("privatelink_dns_queries_total{network=\"acme\""), "{tenants}");
        let (networks, principals) = (Vec::new(), ["vendor".to_owned()].into());
        let uses = Vec::new();
        let strange = Inventory { networks, principals, uses, ..inventory.clone() };
        let census = Census::default();
        let tenants = super::page(Format::Plain, &strange, &readings, &census, Detail::Tenants);
        assert!(!tenants.contains("privatelink_dns_queries_total{"), "{tenants}");
        assert!(!tenants.contains("principal=\"acme\""), "{tenants}");
    }
}
