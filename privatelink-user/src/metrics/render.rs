//! A scrape as text: what was counted, under the names that it has now.

use std::fmt::Display;

use privatelink_common::{EndpointCounters, Reason};

use super::{
    census::Census,
    family as all,
    inventory::{Inventory, Progress},
    text::{Format, Page, labels},
};
use crate::{
    bpf::{self, Reader},
    timestamp::Timestamp,
};

/// Bytes of a page for each endpoint, rather too many.
const BYTES_PER_ENDPOINT: usize = 1_024;

/// What the maps hold at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// The counters of endpoints, in the order of the inventory.
    pub endpoints: Vec<EndpointCounters>,
    /// Packets not forwarded.
    pub drops: Vec<(Reason, u64)>,
    /// Flows in the flow table.
    pub flows: u64,
}

impl Readings {
    /// Reads what is wanted of these things.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn take(reader: &Reader, inventory: &Inventory) -> Result<Self, bpf::Error> {
        let endpoints: Vec<u32> = inventory.endpoints.iter().map(|one| one.index).collect();
        Ok(Self {
            endpoints: reader.counters(&endpoints)?,
            drops: reader.drops()?,
            flows: reader.flow_count()?,
        })
    }
}

/// The page of a scrape.
pub fn page(format: Format, inventory: &Inventory, readings: &Readings, census: &Census) -> String {
    let mut page = Page::new(format, 8_192 + inventory.endpoints.len() * BYTES_PER_ENDPOINT);
    let build = [("gateway", inventory.gateway.as_str()), ("version", env!("CARGO_PKG_VERSION"))];
    page.family(&all::BUILD).add(&[&labels(&build)], 1);
    progress(&mut page, &inventory.progress);
    page.family(&all::FLOW_TABLE_FLOWS).add(&[], readings.flows);
    page.family(&all::FLOW_TABLE_CAPACITY).add(&[], inventory.capacity);
    let mut drops = page.family(&all::DROPS);
    for (reason, count) in &readings.drops {
        drops.add(&[&labels(&[("reason", reason.name())])], count);
    }
    let mut attached = page.family(&all::NETWORK_ATTACHED);
    for network in &inventory.networks {
        attached.add(&[&network.labels], u8::from(network.attached));
    }
    services(&mut page, inventory, census);
    let mut resolved = page.family(&all::TARGET_RESOLVED);
    for target in &inventory.targets {
        resolved.add(&[&target.labels], u8::from(target.resolved));
    }
    endpoints(&mut page, inventory, readings);
    page.finish()
}

fn progress(page: &mut Page, progress: &Progress) {
    let mut single = |family, value: &dyn Display| page.family(family).add(&[], value);
    single(&all::START_TIME, &seconds(progress.started));
    single(&all::READY, &u8::from(progress.ready));
    single(&all::PROBLEMS, &progress.problems);
    single(&all::CONVERGED, &progress.converged.map_or(0.0, seconds));
    let mut reloads = page.family(&all::RELOADS);
    reloads.add(&["result=\"success\""], progress.reloaded);
    reloads.add(&["result=\"failure\""], progress.refused);
    let mut single = |family, value: &dyn Display| page.family(family).add(&[], value);
    single(&all::RELOAD_SUCCESSFUL, &u8::from(progress.last_applied));
    single(&all::RELOAD_TIME, &seconds(progress.applied));
    single(&all::RELOAD_DURATION, &progress.took.as_secs_f64());
}

fn seconds(moment: Timestamp) -> f64 {
    moment.since(Timestamp::from_millis(0)).as_secs_f64()
}

fn services(page: &mut Page, inventory: &Inventory, census: &Census) {
    let mut endpoints = page.family(&all::SERVICE_ENDPOINTS);
    for service in &inventory.services {
        for (state, count) in &service.endpoints {
            endpoints.add(&[&service.labels, &labels(&[("state", state.word())])], count);
        }
    }
    let mut targets = page.family(&all::SERVICE_TARGETS);
    for service in &inventory.services {
        for (health, count) in &service.targets {
            targets.add(&[&service.labels, &labels(&[("health", health)])], count);
        }
    }
    let mut ports = page.family(&all::SERVICE_PORTS_USED);
    for (service, fullest) in inventory.services.iter().zip(census.fullest(inventory)) {
        ports.add(&[&service.labels], fullest.ratio());
    }
}

fn endpoints(page: &mut Page, inventory: &Inventory, readings: &Readings) {
    const IN: &str = "direction=\"in\"";
    const OUT: &str = "direction=\"out\"";
    let counted = || inventory.endpoints.iter().zip(&readings.endpoints);
    let mut states = page.family(&all::ENDPOINT_STATE);
    for endpoint in &inventory.endpoints {
        states.add(&[&endpoint.labels, &labels(&[("state", endpoint.state.word())])], 1);
    }
    let mut packets = page.family(&all::ENDPOINT_PACKETS);
    for (endpoint, counters) in counted() {
        packets.add(&[&endpoint.labels, IN], counters.packets_in);
        packets.add(&[&endpoint.labels, OUT], counters.packets_out);
    }
    let mut bytes = page.family(&all::ENDPOINT_BYTES);
    for (endpoint, counters) in counted() {
        bytes.add(&[&endpoint.labels, IN], counters.bytes_in);
        bytes.add(&[&endpoint.labels, OUT], counters.bytes_out);
    }
    let mut flows = page.family(&all::ENDPOINT_NEW_FLOWS);
    for (endpoint, counters) in counted() {
        flows.add(&[&endpoint.labels], counters.new_flows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::inventory::tests::inventory;

    #[test]
    fn each_family_has_samples_with_its_labels() {
        let mut inventory = inventory();
        inventory.progress.reloaded(false, std::time::Duration::from_millis(1500));
        let counters = EndpointCounters { packets_in: 7, bytes_out: 900, ..Default::default() };
        let readings =
            Readings { endpoints: vec![counters], drops: vec![(Reason::NoFlow, 3)], flows: 5 };
        let page = page(Format::Plain, &inventory, &readings, &Census::default());
        for line in [
            "privatelink_build_info{gateway=\"gw-a\",version=\"0.1.0\"} 1",
            "privatelink_ready 0",
            "privatelink_reloads_total{result=\"failure\"} 1",
            "privatelink_last_reload_successful 0",
            "privatelink_last_reload_duration_seconds 1.5",
            "privatelink_flow_table_flows 5",
            "privatelink_flow_table_capacity_flows 1000",
            "privatelink_drops_total{reason=\"no_flow\"} 3",
            "privatelink_network_attached{network=\"acme\",interface=\"acme0\",mode=\"none\"} 0",
            "privatelink_service_endpoints{service=\"a\",state=\"pending-acceptance\"} 1",
            "privatelink_service_targets{service=\"b\",health=\"healthy\"} 1",
            "privatelink_service_source_ports_used_ratio{service=\"b\"} 0",
            "privatelink_endpoint_packets_total{endpoint=\"acme-a\",service=\"a\",\
             network=\"acme\",direction=\"in\"} 7",
            "privatelink_endpoint_bytes_total{endpoint=\"acme-a\",service=\"a\",\
             network=\"acme\",direction=\"out\"} 900",
        ] {
            assert!(page.lines().any(|found| found == line), "{line:?} is not in\n{page}");
        }
        for family in all::ALL {
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
}
