//! A running gateway: the configuration in force, and everything that carries it out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use log::{error, info, warn};
use sd_notify::NotifyState;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Error, notify,
    parts::{
        announcements::Announcements, discovery::Search, health::Watch, publisher::Publisher,
        records::Records, sweep::Endings,
    },
};
use crate::{
    access::{Administrators, Rights},
    api::{missing_members, server},
    chain::Chain,
    config::{Loaded, unsupported},
    datapath::{
        bpf::{Datapath, Kernel, Mode},
        plan::Plan,
        store::MapStore as _,
        tables::Tables,
        teardown,
    },
    desired::{Pools, desired},
    dns::{self, Feeder},
    events::{Bus, Event, Kind, Observation, of_connections},
    host::{Events, Host},
    state::{
        Journal, State, Store, connection,
        targets::{Inputs, NoRoom},
    },
    timestamp::Timestamp,
    view::flows::Counts,
    watch::{
        discovery::Finding,
        health::{Checks, Reports},
    },
};

/// How long the daemon waits for next hops to answer before it says that it is ready.
const SETTLE: Duration = Duration::from_secs(5);

/// Everything that the daemon owns.
pub(super) struct Gateway {
    pub(super) config: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) administrators: Administrators,
    pub(super) loaded: Loaded,
    pub(super) store: Box<dyn Store>,
    /// The host that packets go through.
    pub host: Host,
    /// What is known of targets.
    pub(super) inputs: Inputs,
    /// Who takes the new flows of which listener.
    pub(super) pools: Pools,
    /// The services whose targets find no room.
    pub(super) full: Vec<NoRoom>,
    /// Until when it was told which targets have drained.
    pub(super) drained: Timestamp,
    pub(super) datapath: Datapath,
    kernel: Kernel,
    /// When time next changes what packets of some connection meet.
    pub(super) deadline: Option<Timestamp>,
    /// What the maps hold, while that is known.
    pub(super) actual: Option<Tables>,
    pub(super) attached: BTreeMap<u32, Mode>,
    /// What does not work now.
    pub(super) problems: Vec<String>,
    /// What was said of it, so that it is said once.
    reported: Vec<String>,
    pub(super) started: Instant,
    ready: bool,
    pub(super) endings: Endings,
    pub(super) events: Bus,
    pub(super) records: Records,
    /// What was last seen of interfaces and next hops; `None` before the daemon was ready.
    seen: Option<Observation>,
    pub(super) publisher: Publisher,
    pub(super) watch: Watch,
    /// Has names served.
    pub(super) names: Feeder,
    pub(super) announcements: Announcements,
    pub(super) search: Search,
}

/// What a running gateway hears from outside.
pub(super) struct Inbox {
    /// Of the host.
    pub events: Events,
    /// How checks ended.
    pub reports: Reports,
    /// Of targets' names and lists.
    pub findings: mpsc::UnboundedReceiver<Finding>,
}

/// Refuses what this release cannot do, and warns of what it does not.
pub(super) fn check(loaded: &Loaded) -> Result<(), Error> {
    for item in unsupported::review(loaded)? {
        warn!("{}; {}", item.message(), item.help);
    }
    missing_members(&loaded.model).iter().for_each(|missing| warn!("{missing}"));
    Ok(())
}

impl Gateway {
    /// Loads what is kept on disk and pinned in the kernel.
    pub async fn open(
        config: &Path,
        socket: &Path,
        loaded: Loaded,
    ) -> Result<(Self, Inbox), Error> {
        let gateway = loaded.model.gateway();
        let mut store = Journal::open(&gateway.state_dir)?;
        let (host, events) = Host::open().await?;
        let mut state = store.state().clone();
        let known = state.inputs.clone();
        state.follow(&loaded.model, host.facts(), &known, Timestamp::now())?;
        let inputs = state.inputs.clone();
        let datapath = open_datapath(&loaded, store.state().ids.is_empty())?;
        let bus = Bus::open(&gateway.state_dir);
        let text = format!("privatelink {} has started", env!("CARGO_PKG_VERSION"));
        bus.subscribe(&gateway.subscriptions, socket);
        bus.publish(Event::new(Kind::GatewayStarted, text));
        bus.publish_all(keep(&mut store, &datapath, &state)?);
        let kernel = datapath.store()?;
        let (checks, reports) = Checks::start().map_err(Error::Checks)?;
        let mut records = Records::default();
        let names = Feeder::start(socket, bus.clone());
        let (reader, totals) = (Arc::clone(datapath.reader()), Arc::clone(records.totals()));
        let publisher = Publisher::new(reader, totals, names.latest().clone());
        records.name(&loaded.model, &state.ids);
        let (found, findings) = mpsc::unbounded_channel();
        let running = Self {
            config: config.to_owned(),
            socket: socket.to_owned(),
            administrators: server::administrators(socket)?,
            loaded,
            store: Box::new(store),
            host,
            inputs,
            pools: Pools::default(),
            full: Vec::new(),
            drained: Timestamp::now(),
            datapath,
            kernel,
            deadline: None,
            actual: None,
            attached: BTreeMap::new(),
            problems: Vec::new(),
            reported: Vec::new(),
            started: Instant::now(),
            ready: false,
            endings: Endings::new(),
            events: bus,
            records,
            seen: None,
            publisher,
            watch: Watch::over(checks),
            names,
            announcements: Announcements::default(),
            search: Search::new(found),
        };
        Ok((running, Inbox { events, reports, findings }))
    }

    /// Whether packets can flow.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether a write to the maps has failed that is to be tried again.
    pub fn is_behind(&self) -> bool {
        self.actual.is_none()
    }

    /// Brings maps and interfaces after configuration, state, host and clock.
    pub async fn converge(&mut self) -> Result<(), Error> {
        if let Err(error) = self.settle() {
            // What time has ended is ended for packets even so.
            error!("{}", Chain(&error));
        }
        self.discover();
        let kept = self.follow_targets();
        self.follow_checks();
        let unlogged = self.records.follow(self.loaded.model.gateway(), &self.datapath);
        self.write_maps()?;
        let mut problems = self.follow_interfaces().await;
        self.announce();
        problems.extend(self.check_problems());
        problems.extend(self.discovery_problems());
        problems.extend(self.endings.problem());
        problems.extend(kept);
        problems.extend(self.room_problems());
        problems.extend(self.publisher.serve(self.loaded.model.gateway().metrics));
        problems.extend(unlogged);
        let hops = self.next_hops();
        problems.extend(self.host.watch(&hops).await.iter().map(|e| Chain(e).to_string()));
        let resolved = |(ifindex, hop): &(u32, _)| self.host.facts().neighbour(*ifindex, *hop);
        let settled = hops.iter().all(|hop| resolved(hop).is_some());
        let settled = settled && self.is_checked() && self.names.is_settled();
        if !self.ready && (settled || self.started.elapsed() >= SETTLE) {
            self.ready = true;
            notify(&[NotifyState::Ready]);
            let text = format!("ready: {} interfaces attached", self.attached.len());
            self.events.publish(Event::new(Kind::GatewayReady, text));
        }
        if self.ready {
            self.observe(&hops);
        }
        self.report(problems);
        self.publisher.progress.converged = Some(Timestamp::now());
        self.publish();
        Ok(())
    }

    /// Tells that the daemon ends.
    pub fn ends(&self, text: &str) {
        self.events.publish(Event::new(Kind::GatewayEnding, text));
    }

    /// Tells what has changed about interfaces and next hops.
    fn observe(&mut self, hops: &BTreeSet<(u32, IpAddr)>) {
        let (model, facts) = (&self.loaded.model, self.host.facts());
        let now = Observation::of(model, facts, &self.attached, hops);
        // What a daemon finds when it begins is no change, but where it is attached it did itself.
        let before = self.seen.take().unwrap_or_else(|| now.clone().unattached());
        self.events.publish_all(now.since(&before));
        self.seen = Some(now);
    }

    /// Brings the maps after configuration, state, host and clock.
    pub(super) fn write_maps(&mut self) -> Result<(), Error> {
        let now = Timestamp::now();
        let actual = match self.actual.take() {
            Some(actual) => actual,
            None => self.kernel.load()?,
        };
        self.remember_places(&actual);
        self.arrange(&actual);
        let (model, state) = (&self.loaded.model, self.store.state());
        let wanted = desired(model, state, self.host.facts(), &self.inputs, &self.pools, now);
        let mut changed = 0;
        let mut before = actual;
        if let Some(parting) = teardown::between(&before, &wanted) {
            changed += self.apply(&before, &parting)?;
            self.end_flows()?;
            before = parting;
        }
        changed += self.apply(&before, &wanted)?;
        if changed != 0 {
            info!("{changed} map entries changed");
        }
        self.actual = Some(wanted);
        let (model, state) = (&self.loaded.model, self.store.state());
        self.names.want(dns::wanted(model, state, self.host.facts(), &self.inputs, now));
        let (connections, model) = (&self.store.state().connections, &self.loaded.model);
        let drains = self.store.state().drains.deadline(now);
        self.deadline =
            connection::deadline(connections, model, now).into_iter().chain(drains).min();
        Ok(())
    }

    /// Writes the difference, and returns how many entries that were.
    fn apply(&mut self, before: &Tables, after: &Tables) -> Result<usize, Error> {
        let plan = Plan::between(before, after);
        plan.apply(&mut self.kernel)?;
        Ok(plan.len())
    }

    /// Forgets what the maps were seen to hold, so that the next convergence looks again.
    pub fn forget_maps(&mut self) {
        self.actual = None;
    }

    fn report(&mut self, problems: Vec<String>) {
        let missing = self.view(&Rights::All, &Counts::default()).problems();
        let all: Vec<String> = missing.into_iter().chain(problems).collect();
        // Next hops that do not answer at once are nothing to warn of.
        if self.ready {
            for problem in all.iter().filter(|problem| !self.reported.contains(problem)) {
                warn!("{problem}");
            }
            self.reported.clone_from(&all);
            self.say(all.len());
        }
        self.problems = all;
    }

    /// Has the service manager show how things are.
    fn say(&self, problems: usize) {
        let model = &self.loaded.model;
        let mut text = format!(
            "{} of {} networks attached, {} services, {} endpoints",
            self.attached.len(),
            model.networks().len(),
            model.services().len(),
            model.endpoints().len()
        );
        if problems > 0 {
            text += &format!(", {problems} problems: see `privatelink status`");
        }
        notify(&[NotifyState::Status(&text)]);
    }
}

/// Keeps a state that was computed from the one that is kept; returns what that changes.
///
/// First an index that stands for something else from now on loses what was counted under it: if
/// the daemon dies in between, nobody has lost a count.
pub(super) fn keep(
    store: &mut (impl Store + ?Sized),
    datapath: &Datapath,
    next: &State,
) -> Result<Vec<Event>, Error> {
    let before = &store.state().ids;
    let ids = &next.ids;
    datapath.forget_counts(&ids.reused_endpoints(before), &ids.reused_targets(before))?;
    let changes = store.state().changes_to(next);
    let news = of_connections(&store.state().connections, &next.connections);
    store.commit(changes)?;
    Ok(news)
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
