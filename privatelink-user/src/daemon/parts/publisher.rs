//! What the daemon tells scrapes of metrics.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use log::{info, warn};
use tokio::task::JoinHandle;

use crate::daemon::gateway::Gateway;
use crate::{
    access::Rights,
    chain::Chain,
    datapath::bpf::Reader,
    dns,
    flow_log::Totals,
    metrics::{self, Inventory, Progress, Server, Source},
    view::{flows::Counts, status::Recent},
};

/// Where scrapes are answered, and from what.
#[derive(Debug)]
pub(in crate::daemon) struct Publisher {
    /// How the daemon is doing.
    pub progress: Progress,
    /// What scrapes are answered from.
    pub source: Arc<Source>,
    /// Drop counters of the last minutes.
    pub recent: Recent,
    /// The address that was asked for, and the server there.
    server: Option<(SocketAddr, Server)>,
    census: JoinHandle<()>,
}

impl Publisher {
    /// Answers nobody yet.
    pub fn new(reader: Arc<Reader>, records: Arc<Totals>, names: dns::Latest) -> Self {
        let source = Arc::new(Source::new(reader, records, names));
        let census = tokio::spawn(metrics::keep_counting_ports(Arc::clone(&source)));
        Self {
            progress: Progress::begin(),
            recent: Recent::default(),
            source,
            server: None,
            census,
        }
    }

    /// Answers at this address and no other; says why it cannot.
    pub fn serve(&mut self, address: Option<SocketAddr>) -> Option<String> {
        if self.server.as_ref().map(|(address, _)| *address) == address {
            return None;
        }
        self.server = None;
        let address = address?;
        let source = Arc::clone(&self.source);
        match Server::start(address, Arc::new(move |format| source.page(format))) {
            Ok(server) => {
                info!("metrics are at http://{}/metrics", server.address());
                self.server = Some((address, server));
                None
            }
            Err(error) => Some(format!("metrics are not served on {address}: {error}")),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.census.abort();
    }
}

impl Gateway {
    /// Looks how many packets were not forwarded, from time to time.
    pub fn note_drops(&mut self) {
        let now = Instant::now();
        if !self.publisher.recent.is_due(now) {
            return;
        }
        match self.datapath.reader().drops() {
            Ok(counts) => self.publisher.recent.note(now, counts),
            Err(error) => warn!("drops of the last minutes are not known: {}", Chain(&error)),
        }
    }

    /// Publishes how things are now.
    pub(in crate::daemon) fn publish(&mut self) {
        self.publisher.progress.ready = self.is_ready();
        self.publisher.progress.problems = self.problems.len();
        let progress = self.publisher.progress.clone();
        let inventory = Inventory::of(&self.view(&Rights::All, &Counts::default()), progress);
        self.publisher.source.publish(inventory);
    }
}
