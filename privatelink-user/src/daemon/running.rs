//! A running gateway: the configuration in force, and everything that carries it out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use log::{info, warn};
use privatelink_common::EndpointCounters;
use sd_notify::NotifyState;
use tokio::time::Instant;

use super::{Chain, Error, notify};
use crate::{
    api::{server::Request, types},
    bpf::{Datapath, Mode},
    config::{self, Loaded},
    desired::{desired, next_hops},
    flows,
    host::{Events, Host},
    ids::{IdFile, Ids},
    plan::Plan,
    status,
    store::{Kernel, MapStore as _},
    supported,
    tables::Tables,
};

/// How long the daemon waits for next hops to answer before it says that it is ready.
const SETTLE: Duration = Duration::from_secs(5);

/// Everything that the daemon owns.
pub(super) struct Running {
    config: PathBuf,
    loaded: Loaded,
    ids: Ids,
    id_file: IdFile,
    /// The host that packets go through.
    pub host: Host,
    datapath: Datapath,
    kernel: Kernel,
    /// What the maps hold, while that is known.
    actual: Option<Tables>,
    attached: BTreeMap<u32, Mode>,
    /// What does not work now.
    problems: Vec<String>,
    /// What was said of it, so that it is said once.
    reported: Vec<String>,
    started: Instant,
    ready: bool,
    /// The region of the flow table where the sweep goes on.
    swept: u32,
}

/// Parts that a sweep of the flow table is done in, so that it takes five seconds.
const SWEEP_PARTS: u32 = 20;
/// Regions that are swept in one go, with packets on this CPU waiting meanwhile.
const SWEEP_STRIDE: u32 = 16;

/// Refuses what this release cannot do, and warns of what it does not.
pub(super) fn check(loaded: &Loaded) -> Result<(), Error> {
    for item in supported::review(loaded)? {
        warn!("{}; {}", item.message(), item.help);
    }
    Ok(())
}

impl Running {
    /// Loads what is kept on disk and pinned in the kernel.
    pub async fn open(config: &Path, loaded: Loaded) -> Result<(Self, Events), Error> {
        let gateway = loaded.model.gateway();
        let id_file = IdFile::new(&gateway.state_dir);
        let mut ids = id_file.load()?;
        let fresh = ids.is_empty();
        ids.assign(&loaded.model)?;
        let datapath = open_datapath(&loaded, fresh)?;
        id_file.save(&ids)?;
        let kernel = datapath.store()?;
        let (host, events) = Host::open().await?;
        let running = Self {
            config: config.to_owned(),
            loaded,
            ids,
            id_file,
            host,
            datapath,
            kernel,
            actual: None,
            attached: BTreeMap::new(),
            problems: Vec::new(),
            reported: Vec::new(),
            started: Instant::now(),
            ready: false,
            swept: 0,
        };
        Ok((running, events))
    }

    /// Whether packets can flow.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Brings maps and interfaces after configuration and host.
    pub async fn converge(&mut self) -> Result<(), Error> {
        let wanted = desired(&self.loaded.model, &self.ids, self.host.facts());
        let actual = match self.actual.take() {
            Some(actual) => actual,
            None => self.kernel.load()?,
        };
        let plan = Plan::between(&actual, &wanted);
        plan.apply(&mut self.kernel)?;
        if !plan.is_empty() {
            info!("{} map entries changed", plan.len());
        }
        self.actual = Some(wanted);
        let mut problems = self.attach().await;
        problems.extend(self.detach());
        let hops = next_hops(&self.loaded.model, self.host.facts());
        problems.extend(self.host.watch(&hops).await.iter().map(|e| Chain(e).to_string()));
        let resolved = |(ifindex, hop): &(u32, _)| self.host.facts().neighbour(*ifindex, *hop);
        let settled = hops.iter().all(|hop| resolved(hop).is_some());
        if !self.ready && (settled || self.started.elapsed() >= SETTLE) {
            self.ready = true;
            info!("ready: {} interfaces attached", self.attached.len());
            notify(&[NotifyState::Ready]);
        }
        self.report(problems);
        Ok(())
    }

    /// Forgets what the maps and interfaces were seen to hold, so that the next convergence
    /// looks again.
    pub fn verify(&mut self) {
        self.actual = None;
        match self.datapath.attached() {
            Ok(attached) => {
                self.attached.retain(|ifindex, _| attached.iter().any(|a| a.ifindex == *ifindex));
            }
            Err(error) => warn!("{}", Chain(&error)),
        }
    }

    /// Takes over the configuration on disk, if it is sound.
    pub fn reload(&mut self) -> Result<(), Error> {
        let loaded = config::load(&self.config)?;
        check(&loaded)?;
        let mut ids = self.ids.clone();
        ids.assign(&loaded.model)?;
        // On disk first: a flow must not outlive the memory of what its indices mean.
        self.id_file.save(&ids)?;
        let (old, new) = (self.loaded.model.gateway(), loaded.model.gateway());
        for (key, same) in [
            ("max_flows", old.max_flows == new.max_flows),
            ("state_dir", old.state_dir == new.state_dir),
            ("socket", old.socket == new.socket),
            ("pin_dir", old.pin_dir == new.pin_dir),
        ] {
            if !same {
                warn!("the new `{key}` takes effect when the daemon is started again");
            }
        }
        self.ids = ids;
        self.loaded = loaded;
        info!("configuration reloaded");
        Ok(())
    }

    /// Answers a request. `true` if forwarding was stopped.
    pub fn answer(&self, request: Request) -> bool {
        // Whoever asked may have gone: then nobody misses the answer.
        match request {
            Request::Status(reply) => drop(reply.send(self.status())),
            Request::Endpoints(reply) => drop(reply.send(self.endpoints())),
            Request::Flows(query, reply) => drop(reply.send(self.flows(&query))),
            Request::Down(reply) => {
                let pins = &self.loaded.model.gateway().pin_dir;
                let result = Datapath::down(pins).map_err(|error| Chain(&error).to_string());
                let stopped = result.is_ok();
                drop(reply.send(result));
                return stopped;
            }
        }
        false
    }

    /// Attaches to the interfaces of all networks that are there and not attached yet.
    async fn attach(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for network in self.loaded.model.networks().values() {
            let Some(link) = self.host.facts().link(network.attachment.interface.as_str()) else {
                continue;
            };
            if link.mac.is_none() || self.attached.contains_key(&link.index) {
                continue;
            }
            if !link.allmulti
                && let Err(error) = self.host.take_all_multicast(link.index).await
            {
                problems.push(Chain(&error).to_string());
            }
            match self.datapath.attach(link.index, &link.name) {
                Ok(attached) => {
                    let mode = attached.mode.name();
                    info!("network {}: {} attached, {mode} XDP", network.name, link.name);
                    self.attached.insert(link.index, attached.mode);
                }
                Err(error) => problems.push(Chain(&error).to_string()),
            }
        }
        problems
    }

    /// Detaches from interfaces that no network has any more.
    fn detach(&mut self) -> Vec<String> {
        let Some(tables) = &self.actual else { return Vec::new() };
        let attached = match self.datapath.attached() {
            Ok(attached) => attached,
            Err(error) => return vec![Chain(&error).to_string()],
        };
        let present: BTreeSet<u32> = attached.iter().map(|attached| attached.ifindex).collect();
        self.attached.retain(|ifindex, _| present.contains(ifindex));
        let mut problems = Vec::new();
        for ifindex in present.into_iter().filter(|index| !tables.attachments.contains_key(index)) {
            self.attached.remove(&ifindex);
            match self.datapath.detach(ifindex) {
                Ok(()) => info!("interface {ifindex} detached"),
                Err(error) => problems.push(Chain(&error).to_string()),
            }
        }
        problems
    }

    fn report(&mut self, problems: Vec<String>) {
        let missing = self.view().problems();
        let all: Vec<String> = missing.into_iter().chain(problems).collect();
        // Next hops that do not answer at once are nothing to warn of.
        if self.ready {
            for problem in all.iter().filter(|problem| !self.reported.contains(problem)) {
                warn!("{problem}");
            }
            self.reported.clone_from(&all);
        }
        self.problems = all;
    }

    fn view(&self) -> status::View<'_> {
        status::View {
            model: &self.loaded.model,
            ids: &self.ids,
            facts: self.host.facts(),
            attached: &self.attached,
        }
    }

    fn status(&self) -> Result<types::Status, String> {
        let gateway = self.loaded.model.gateway();
        let view = self.view();
        Ok(types::Status {
            gateway: gateway.name.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            ready: self.ready,
            uptime_seconds: self.started.elapsed().as_secs(),
            networks: view.networks(),
            services: view.services(),
            endpoints: self.endpoints()?,
            flows: types::FlowTable {
                active: self.datapath.flow_count().map_err(text)?,
                capacity: gateway.max_flows.get().into(),
            },
            drops: status::drops(self.datapath.drops().map_err(text)?),
            problems: self.problems.clone(),
        })
    }

    fn endpoints(&self) -> Result<Vec<types::Endpoint>, String> {
        let endpoints = self.loaded.model.endpoints().values();
        let indices: Vec<u32> =
            endpoints.filter_map(|endpoint| self.ids.endpoint(endpoint)).collect();
        let counters = self.datapath.counters(&indices).map_err(text)?;
        let counters: BTreeMap<u32, EndpointCounters> = indices.into_iter().zip(counters).collect();
        let flows = flows::count(self.datapath.flows());
        let counted = |index| counters.get(&index).copied().unwrap_or_default();
        Ok(self.view().endpoints(&flows, counted))
    }

    fn flows(&self, query: &types::FlowQuery) -> Result<Vec<types::Flow>, String> {
        let endpoints = self.loaded.model.endpoints();
        if let Some(name) = &query.endpoint
            && !endpoints.contains_key(name.as_str())
        {
            return Err(format!("there is no endpoint `{name}`; see `privatelink endpoints`"));
        }
        let wanted = endpoints.values().filter(|endpoint| {
            query.endpoint.as_ref().is_none_or(|name| endpoint.name.as_str() == name)
        });
        let names: BTreeMap<u32, &str> = wanted
            .filter_map(|endpoint| Some((self.ids.endpoint(endpoint)?, endpoint.name.as_str())))
            .collect();
        let slots = self.datapath.flows().filter(|slot| names.contains_key(&slot.endpoint));
        let tables = self.actual.as_ref().ok_or("the maps are being written; ask again")?;
        let name = |index| names.get(&index).map(ToString::to_string);
        Ok(flows::join(slots, tables, self.datapath.now_ticks().map_err(text)?, name))
    }

    /// Ends silent flows in the next part of the flow table.
    pub fn sweep(&mut self) -> Result<(), Error> {
        let all = self.datapath.regions();
        let end = self.swept.saturating_add(all.div_ceil(SWEEP_PARTS)).min(all);
        while self.swept < end {
            let regions = SWEEP_STRIDE.min(end - self.swept);
            self.datapath.sweep(self.swept, regions)?;
            self.swept += regions;
        }
        if self.swept == all {
            self.swept = 0;
        }
        Ok(())
    }
}

/// Opens the datapath on what is pinned, if the daemon still knows what the flows there mean.
fn open_datapath(loaded: &Loaded, forgotten: bool) -> Result<Datapath, Error> {
    let gateway = loaded.model.gateway();
    let (pins, max_flows) = (&gateway.pin_dir, gateway.max_flows.get());
    let (datapath, adoption) = Datapath::open(pins, max_flows)?;
    info!("{adoption}");
    if !forgotten || adoption.is_fresh() {
        if adoption.lost_flows() {
            warn!("the flow table was replaced: flows that ran through it end");
        }
        return Ok(datapath);
    }
    // Indices would come to mean other things, and flows would end up at others' services.
    warn!(
        "{} knows nothing of the flows pinned in {}: they end",
        gateway.state_dir.display(),
        pins.display()
    );
    drop(datapath);
    Datapath::down(pins)?;
    Ok(Datapath::open(pins, max_flows)?.0)
}

fn text(error: impl std::error::Error) -> String {
    Chain(&error).to_string()
}
