//! Metrics: what scrapes are answered from, and the server that answers them.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use log::{info, warn};
use privatelink_common::Reason;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    backbone::LatestOverview,
    chain::Chain,
    datapath::bpf::{self, Reader},
    dns,
    events::Bus,
    flow_log::Totals,
    interface::types,
    metrics::{self, Inventory, Progress, Server, Source, Token},
    model::{Gateway, Model},
    state::ids::Ids,
    supervision::keep_polling,
    timestamp::Timestamp,
    view::{
        status::{Recent, Unserved},
        usage::Usage,
    },
};

/// The daemon's figures, and where scrapes can ask for them.
#[derive(Debug)]
pub(in crate::daemon) struct Publisher {
    progress: Progress,
    source: Arc<Source>,
    /// Drop counters of the last minutes.
    recent: Recent,
    /// What endpoints have refused in the last minutes.
    unserved: Unserved,
    /// The token for which scrapes see the series of tenants.
    token: watch::Sender<Option<Token>>,
    /// The address that was asked for, and the server there.
    server: Option<(SocketAddr, Server)>,
    census: JoinHandle<()>,
}

impl Publisher {
    /// Serves nothing yet.
    pub fn new(
        reader: Arc<Reader>,
        records: Arc<Totals>,
        events: Bus,
        names: dns::LatestStatus,
        links: LatestOverview,
    ) -> Self {
        let source = Arc::new(Source::new(reader, records, events, names, links));
        let counted = Arc::clone(&source);
        let census = tokio::spawn(async move {
            let begin = || metrics::keep_counting_ports(Arc::clone(&counted));
            keep_polling("the count of source ports", begin).await;
        });
        let (progress, recent) = (Progress::begin(), Recent::default());
        let unserved = Unserved::default();
        Self {
            progress,
            recent,
            unserved,
            source,
            token: watch::Sender::default(),
            server: None,
            census,
        }
    }

    /// Serves metrics as configured; returns what does not work.
    pub fn reconcile(&mut self, gateway: &Gateway) -> Vec<String> {
        // Each time, so that a token can be replaced without a reload.
        let file = gateway.metrics_token_file.as_deref().filter(|_| gateway.metrics.is_some());
        let (token, unread) = match file.map(Token::read).transpose() {
            Ok(token) => (token, None),
            Err(error) => (None, Some(error.to_string())),
        };
        self.token.send_replace(token);
        unread.into_iter().chain(self.serve(gateway.metrics)).collect()
    }

    /// Serves metrics at this address and no other; returns a problem.
    fn serve(&mut self, address: Option<SocketAddr>) -> Option<String> {
        if self.server.as_ref().map(|(address, _)| *address) == address {
            return None;
        }
        self.server = None;
        let address = address?;
        let source = Arc::clone(&self.source);
        match Server::start(
            address,
            Arc::new(move |format, detail| source.page(format, detail)),
            self.token.subscribe(),
        ) {
            Ok(server) => {
                info!("serving metrics at http://{}/metrics", server.address());
                self.server = Some((address, server));
                None
            }
            Err(error) => Some(format!("metrics are not served on {address}: {error}")),
        }
    }

    /// Notes a successful reconciliation.
    pub fn converged(&mut self, now: Timestamp) {
        self.progress.converged = Some(now);
    }

    /// Notes a reload, whether it was applied, and how long it took.
    pub fn reloaded(&mut self, applied: bool, took: Duration) {
        self.progress.reloaded(applied, took);
    }

    /// How the daemon is doing.
    pub fn progress(&self, ready: bool, problems: usize) -> Progress {
        Progress { ready, problems, ..self.progress.clone() }
    }

    /// Answers scrapes from this inventory from now on.
    pub fn publish(&self, inventory: Inventory) {
        self.source.publish(inventory);
    }

    /// Notes how many packets have been dropped, from time to time.
    pub fn note_drops(&mut self, reader: &Reader, now: Instant) {
        if !self.recent.is_due(now) {
            return;
        }
        match reader.drops() {
            Ok(counts) => self.recent.note(now, counts),
            Err(error) => warn!("cannot read drop counters: {}", Chain(&error)),
        }
    }

    /// Notes what endpoints have refused and opened, from time to time.
    pub fn note_refusals(&mut self, reader: &Reader, endpoints: &[u32], now: Instant) {
        if !self.unserved.is_due(now) {
            return;
        }
        let read = || -> Result<_, bpf::Error> {
            Ok((reader.endpoint_drops()?, reader.counters(endpoints)?))
        };
        match read() {
            Ok((refused, counters)) => {
                let opened = counters.iter().map(|counted| counted.new_flows);
                self.unserved.note(now, refused, endpoints.iter().copied().zip(opened));
            }
            Err(error) => warn!("cannot read the counters of endpoints: {}", Chain(&error)),
        }
    }

    /// Endpoints none of whose clients gets through.
    pub fn unserved(&self, now: Instant, model: &Model, ids: &Ids) -> Vec<String> {
        self.unserved.problems(now, model, ids)
    }

    /// The drops of the last minutes, given the counters of now.
    pub fn recent_drops(&self, now: Instant, drops: &[(Reason, u64)]) -> Vec<types::RecentDrops> {
        self.recent.drops(now, drops)
    }

    /// Where pages come from.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// The fullest part of each service's source ports, by the service's name.
    pub fn source_ports(&self) -> Vec<(String, Usage)> {
        self.source.source_ports()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.census.abort();
    }
}
