//! Answers scrapes from the maps and from what the daemon has published.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use super::{
    census::Census,
    detail::Detail,
    inventory::Inventory,
    render::{Readings, page},
    text::Format,
};
use crate::{
    backbone::LatestOverview,
    datapath::bpf::{self, Reader},
    dns,
    events::Bus,
    flow_log::Totals,
    interface::types::LeftOut,
    supervision::pass_on,
    view::usage::Usage,
};

/// How often source ports are counted, at most.
const CENSUS_INTERVAL: Duration = Duration::from_secs(10);
/// The time between two counts, in multiples of what the last one took, so that walking a large flow
/// table takes no more than a fiftieth of a processor.
const CENSUS_SHARE: u32 = 50;

/// Where the pages of scrapes come from: the maps, and what the daemon has published.
#[derive(Debug)]
pub struct Source {
    reader: Arc<Reader>,
    records: Arc<Totals>,
    events: Bus,
    names: dns::LatestStatus,
    links: LatestOverview,
    inventory: watch::Sender<Option<Arc<Inventory>>>,
    census: watch::Sender<Arc<Census>>,
}

/// Why a scrape fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon has not published an inventory yet.
    #[error("the daemon is starting")]
    Starting,
    /// The maps cannot be read.
    #[error(transparent)]
    Datapath(#[from] bpf::Error),
}

impl Source {
    /// A source whose inventory is yet to be published.
    pub fn new(
        reader: Arc<Reader>,
        records: Arc<Totals>,
        events: Bus,
        names: dns::LatestStatus,
        links: LatestOverview,
    ) -> Self {
        let (inventory, census) = (watch::Sender::default(), watch::Sender::default());
        Self { reader, records, events, names, links, inventory, census }
    }

    /// Publishes an inventory in place of the last one.
    pub fn publish(&self, inventory: Inventory) {
        self.inventory.send_replace(Some(Arc::new(inventory)));
    }

    /// The page of a scrape at this moment.
    ///
    /// # Errors
    /// When no inventory is published yet, or the maps cannot be read.
    pub fn page(&self, format: Format, detail: Detail) -> Result<String, Error> {
        let inventory = self.inventory.borrow().clone().ok_or(Error::Starting)?;
        self.page_of(format, &inventory, detail)
    }

    /// The page of a scrape that shows this inventory.
    ///
    /// # Errors
    /// When the maps cannot be read.
    pub fn page_of(
        &self,
        format: Format,
        inventory: &Inventory,
        detail: Detail,
    ) -> Result<String, Error> {
        let census = self.census.borrow().clone();
        let mut readings = Readings::take(&self.reader, inventory)?;
        readings.records = self.records.counts();
        readings.left_out = self.left_out();
        readings.names = self.names.status();
        readings.links = self.links.read();
        Ok(page(format, inventory, &readings, &census, detail))
    }

    /// What each principal has caused beyond its budgets, by name.
    pub fn left_out(&self) -> Vec<LeftOut> {
        let mut all = BTreeMap::<String, LeftOut>::new();
        for (principal, events) in self.events.left_out() {
            all.entry(principal.to_string()).or_default().events = events;
        }
        for (principal, refused_flows) in self.records.left_out() {
            all.entry(principal).or_default().refused_flows = refused_flows;
        }
        for (principal, unlogged) in self.events.unlogged() {
            all.entry(principal.to_string()).or_default().unlogged_events = unlogged;
        }
        for (principal, undelivered) in self.events.undelivered() {
            all.entry(principal.to_string()).or_default().undelivered_events = undelivered;
        }
        all.into_iter().map(|(principal, one)| LeftOut { principal, ..one }).collect()
    }

    /// The fullest part of each service's source ports, by the service's name.
    pub fn source_ports(&self) -> Vec<(String, Usage)> {
        let Some(inventory) = self.inventory.borrow().clone() else { return Vec::new() };
        let fullest = self.census.borrow().fullest(&inventory);
        let names = inventory.services.iter().map(|service| service.name.clone());
        names.zip(fullest).collect()
    }

    /// Counts the source ports in use, and returns the time to wait before the next count.
    fn count_ports(&self) -> Duration {
        let begin = Instant::now();
        self.census.send_replace(Arc::new(Census::of(self.reader.flows())));
        CENSUS_INTERVAL.max(begin.elapsed() * CENSUS_SHARE)
    }
}

/// Keeps counting the source ports in use.
pub async fn keep_counting_ports(source: Arc<Source>) {
    loop {
        let counting = Arc::clone(&source);
        match spawn_blocking(move || counting.count_ports()).await {
            Ok(pause) => sleep(pause).await,
            // Unless it panicked, the runtime is shutting down.
            Err(error) => return pass_on(error),
        }
    }
}
