//! Metrics for Prometheus.
//!
//! What the programs count stands in pinned maps, and is read there at each scrape: no second copy
//! is kept that could differ, and no count is lost when the daemon ends. What else a scrape tells,
//! the daemon publishes as an [`Inventory`].

mod census;
pub mod family;
mod inventory;
mod names;
mod render;
mod server;
mod text;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::spawn_blocking, time::sleep};

pub use census::{Census, PORTS};
pub use inventory::{Inventory, Progress};
pub use render::{Readings, page};
pub use server::Server;
pub use text::Format;

use crate::{
    datapath::bpf::{self, Reader},
    dns,
    flow_log::Totals,
    view::usage::Usage,
};

/// How often source ports are counted, at most.
const CENSUS: Duration = Duration::from_secs(10);
/// The time between two counts, in times of what the last one took: a large flow table is walked
/// less often.
const CENSUS_SHARE: u32 = 50;

/// What scrapes are answered from.
#[derive(Debug)]
pub struct Source {
    reader: Arc<Reader>,
    records: Arc<Totals>,
    names: dns::LatestStatus,
    inventory: watch::Sender<Option<Arc<Inventory>>>,
    census: watch::Sender<Arc<Census>>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing has been published yet.
    #[error("the daemon is starting")]
    Starting,
    /// The maps cannot be read.
    #[error(transparent)]
    Datapath(#[from] bpf::Error),
}

impl Source {
    /// Nothing is published yet.
    pub fn new(reader: Arc<Reader>, records: Arc<Totals>, names: dns::LatestStatus) -> Self {
        let (inventory, census) = (watch::Sender::default(), watch::Sender::default());
        Self { reader, records, names, inventory, census }
    }

    /// Replaces what was published before.
    pub fn publish(&self, inventory: Inventory) {
        self.inventory.send_replace(Some(Arc::new(inventory)));
    }

    /// The page of a scrape that happens now.
    ///
    /// # Errors
    /// When nothing is published yet, or the maps cannot be read.
    pub fn page(&self, format: Format) -> Result<String, Error> {
        let inventory = self.inventory.borrow().clone().ok_or(Error::Starting)?;
        let census = self.census.borrow().clone();
        let mut readings = Readings::take(&self.reader, &inventory)?;
        readings.records = self.records.counts();
        readings.names = self.names.status();
        Ok(page(format, &inventory, &readings, &census))
    }

    /// The fullest part of each service's source ports, by the service's name.
    pub fn source_ports(&self) -> Vec<(String, Usage)> {
        let Some(inventory) = self.inventory.borrow().clone() else { return Vec::new() };
        let fullest = self.census.borrow().fullest(&inventory);
        let names = inventory.services.iter().map(|service| service.name.clone());
        names.zip(fullest).collect()
    }

    /// Counts the source ports in use, and returns after which time to count again.
    fn count_ports(&self) -> Duration {
        let begin = Instant::now();
        self.census.send_replace(Arc::new(Census::of(self.reader.flows())));
        CENSUS.max(begin.elapsed() * CENSUS_SHARE)
    }
}

/// Counts the source ports in use again and again.
pub async fn keep_counting_ports(source: Arc<Source>) {
    loop {
        let counting = Arc::clone(&source);
        // Otherwise the daemon is ending.
        let Ok(pause) = spawn_blocking(move || counting.count_ports()).await else { return };
        sleep(pause).await;
    }
}
