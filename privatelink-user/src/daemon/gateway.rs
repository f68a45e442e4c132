//! The gateway: the configuration in force, and the parts that carry it out.
//!
//! This is the one place where parts meet. Each gets what it needs as arguments; what it returns is
//! published, reported or passed on here. A new concern is a new part, a field, and one line in
//! [`converge`](Gateway::converge).

mod adding;
mod callers;
mod deciding;
mod reloading;
mod rounds;
mod sharing;
mod trial;
mod writing;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use log::{error, info, warn};
use netlink_packet_route::RouteNetlinkMessage;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    adoption::Prepared,
    clock::Clock,
    commit::commit,
    error::Error,
    inbox::Inbox,
    joining,
    log_level::log_at,
    opening::{self, Opened},
    paced_count::PacedCount,
    parts::{
        AccessKeys, Announcements, Attachments, Backbone, Conflicts, Deadlines, FIRST_TURN, Frames,
        HostGuard, Keeping, Maps, Pending, Publisher, Readiness, Records, Sharing, Surroundings,
        Sweep, SweepScope, TargetDiscovery, TargetHealth, Targets, Trials, acceptance, capacity,
        listeners,
    },
    service_manager,
    snapshot::Snapshot,
    stopped::stopped,
};
use crate::{
    access::{Register, Rights},
    api::front::keeper::{FrontKeeper, ServerSide, WantedFront},
    audit::Audit,
    chain::Chain,
    config::{Loaded, Origins, Sources},
    datapath::bpf::{self, Datapath, Kernel},
    desired::desired,
    dns::{self, Feeder},
    events::{Bus, Event, Kind, of_drains},
    host::{self, Host},
    interface::types::Stopped,
    metrics::Inventory,
    model::Model,
    state::{
        self, AnyStore, GroupStore,
        targets::{Inputs, TargetKey},
    },
    supervision,
    timestamp::{Moment, Timestamp},
    view::flows::FlowCounts,
    watch::{discovery::Finding, health},
};

/// How often a change is worked out anew because another gateway was faster.
const ATTEMPTS: u32 = 64;

/// Everything that the daemon owns.
pub(super) struct Gateway {
    // What is given, or shared by several parts.
    config: PathBuf,
    socket: PathBuf,
    /// Who has rights; the server reads it, too.
    register: watch::Sender<Register>,
    model: Model,
    /// The texts that the model was read from.
    sources: Sources,
    /// Where they declare what.
    origins: Origins,
    store: AnyStore,
    host: Host,
    clock: Clock,
    /// When the daemon began.
    begun: Timestamp,
    inputs: Inputs,
    datapath: Datapath,
    events: Bus,
    audit: Audit,
    /// When time alone next changes what packets meet.
    deadline: Option<Timestamp>,
    /// Whether something other than packets waits for the next convergence.
    rest_is_due: bool,
    /// How many panics are among the problems that are reported.
    panics: u64,
    /// Changed entries of the maps, for the log.
    changed: PacedCount,
    // The parts.
    maps: Maps<Kernel>,
    targets: Targets,
    health: TargetHealth,
    discovery: TargetDiscovery,
    host_guard: HostGuard,
    attachments: Attachments,
    surroundings: Surroundings,
    announcements: Announcements,
    conflicts: Conflicts,
    sweep: Sweep,
    frames: Frames,
    keeping: Keeping,
    sharing: Sharing,
    keys: AccessKeys,
    deadlines: Deadlines,
    records: Records,
    publisher: Publisher,
    dns: Feeder,
    front: FrontKeeper,
    backbone: Backbone,
    readiness: Readiness,
    trials: Trials,
}

impl Gateway {
    /// Loads what is kept on disk and pinned in the kernel.
    pub async fn open(
        (config, socket): (&Path, &Path),
        loaded: Loaded,
        (register, server): (watch::Sender<Register>, ServerSide),
        (mut store, audit): (AnyStore, Audit),
    ) -> Result<(Self, Inbox), Error> {
        let Loaded { model, sources, origins } = loaded;
        let clock = Clock::open(&model.gateway().state_dir);
        let begun = introduce(&mut store, &model, &origins);
        let opened = opening::open(&model, store, socket, clock.moment()).await?;
        let Opened { store, state, host, host_events, datapath, events } = opened;
        let (checks, reports) = health::Checks::start().map_err(Error::Checks)?;
        let (found, findings) = mpsc::unbounded_channel();
        let records = Records::of(&model, &state.ids);
        let dns = Feeder::start(socket, events.clone());
        let (reader, totals) = (datapath.reader().clone(), records.totals().clone());
        let backbone = Backbone::start();
        let (names, links) = (dns.latest().clone(), backbone.latest());
        let publisher = Publisher::new(reader, totals, events.clone(), names, links);
        let gateway = Self {
            config: config.to_owned(),
            socket: socket.to_owned(),
            register,
            trials: Trials::new(model.gateway(), &datapath),
            host_guard: HostGuard::open(&model.gateway().state_dir),
            model,
            sources,
            origins,
            store,
            begun,
            host,
            inputs: state.inputs,
            events,
            audit,
            deadline: None,
            rest_is_due: false,
            panics: 0,
            changed: PacedCount::default(),
            maps: Maps::new(datapath.store()?),
            datapath,
            targets: Targets::new(clock.moment().now),
            clock,
            health: TargetHealth::new(checks),
            discovery: TargetDiscovery::new(found),
            attachments: Attachments::default(),
            surroundings: Surroundings::default(),
            announcements: Announcements::default(),
            conflicts: Conflicts::open(),
            sweep: Sweep::default(),
            frames: Frames::open(),
            keeping: Keeping::default(),
            sharing: Sharing::default(),
            keys: AccessKeys::default(),
            deadlines: Deadlines::default(),
            records,
            publisher,
            dns,
            front: FrontKeeper::start(server),
            backbone,
            readiness: Readiness::new(Instant::now()),
        };
        gateway.follow_keys();
        let bell = gateway.store.group().map(GroupStore::bell);
        Ok((gateway, Inbox { events: host_events, reports, findings, bell }))
    }

    /// Reconciles maps, interfaces and parts with configuration, state, host and clock.
    pub async fn converge(&mut self) -> Result<(), Error> {
        self.clock.follow();
        let at = self.clock.moment();
        let now = at.now;
        self.retry_keeping(at);
        self.settle_connections(at);
        let unkept = self.reconcile_targets(at);
        let unlogged = self.records.reconcile(self.model.gateway(), &self.datapath);
        self.write_maps(now)?;
        self.datapath.go_on_carrying()?;
        // Only now, so that no packet meets the program before its maps are filled.
        let touched = self.host_guard.interfaces();
        let mut problems = self.host_guard.reconcile(&self.model, self.host.facts());
        problems.extend(self.reconcile_interfaces().await);
        if let Some(tables) = self.maps.contents() {
            problems.extend(listeners::reconcile(tables, &mut self.host, &touched).await);
        }
        let left_behind = self.datapath.finish_carrying()?;
        self.events.publish_all(capacity::left_behind(left_behind));
        problems.extend(supervision::problems());
        problems.extend(capacity::problem(self.model.gateway(), self.datapath.regions()));
        problems.extend(self.health.problems());
        problems.extend(self.discovery.problems());
        problems.extend(self.frames.problem());
        problems.extend(unkept);
        self.front.want(WantedFront::of(&self.model));
        problems.extend(self.front.problems());
        problems.extend(self.backbone.reconcile(&self.model, self.store.state()));
        problems.extend(self.keeping.problem(self.store.as_ref()));
        problems.extend(self.sharing.problems(self.store.group()));
        problems.extend(self.targets.problems());
        problems.extend(self.publisher.reconcile(self.model.gateway()));
        problems.extend(unlogged);
        let (model, state, inputs) = (&self.model, self.store.state(), &self.inputs);
        let resolved = self.surroundings.reconcile(model, state, inputs, &mut self.host, now);
        problems.extend(resolved.await);
        problems.extend(self.conflicts.problems(&self.model, self.host.facts()));
        self.update_readiness();
        self.report(problems);
        self.publisher.converged(Timestamp::now());
        self.publish_metrics();
        self.report_applied();
        Ok(())
    }

    /// Tries again to keep what the disk has refused.
    fn retry_keeping(&mut self, at: Moment) {
        let (model, facts, inputs) = (&self.model, self.host.facts(), &mut self.inputs);
        let store = self.store.as_mut();
        let attempt = self.keeping.reconcile(model, facts, inputs, store, &self.datapath, at);
        self.events.publish_all(attempt.events);
        if attempt.recovered {
            info!("the state directory can be written again");
            self.records.name(&self.model, &self.store.state().ids);
        }
    }

    /// Applies rules and time to connections.
    fn settle_connections(&mut self, at: Moment) {
        match acceptance::settle(&self.model, self.store.as_mut(), at) {
            Ok(events) => self.events.publish_all(events),
            // Another gateway has decided the same, or the store is a problem in the status.
            Err(state::Error::Conflict | state::Error::Unreachable(_)) => {}
            // The maps obey the clock even where the disk refuses.
            Err(error) => error!("cannot keep what rules and time decided: {}", Chain(&error)),
        }
    }

    /// Brings up to date what is known of targets, and which of them are checked. Returns a problem
    /// if the disk refuses to keep it: health decides about new flows even so.
    fn reconcile_targets(&mut self, at: Moment) -> Option<String> {
        let (model, facts, inputs) = (&self.model, self.host.facts(), &mut self.inputs);
        self.discovery.reconcile(model, &self.store.state().addresses, facts, inputs);
        let (store, datapath) = (self.store.as_mut(), &self.datapath);
        let (events, problem) = self.targets.reconcile(model, facts, inputs, store, datapath, at);
        self.events.publish_all(events);
        self.health.reconcile(model, &self.store.state().ids, facts, inputs);
        problem
    }

    /// Computes what the maps should hold, and writes the difference.
    fn write_maps(&mut self, now: Timestamp) -> Result<(), Error> {
        let (model, state, facts) = (&self.model, self.store.state(), self.host.facts());
        self.deadlines.reconcile(model, state, &self.datapath, now)?;
        let actual = self.maps.read()?;
        self.announcements.note_inherited(actual, facts);
        self.targets.arrange(model, &state.ids, &self.inputs, actual);
        let wanted = desired(model, state, facts, &self.inputs, self.targets.pools(), now);
        let (datapath, frames, records) = (&self.datapath, &self.frames, &mut self.records);
        let endpoints = self.deadlines.endpoints();
        let changed = self.maps.replace(wanted, |passes| {
            let reach = SweepScope { datapath, frames, endpoints, records };
            Ok(self.sweep.take_turn(FIRST_TURN, passes, reach).map(drop)?)
        })?;
        self.dns.want(dns::wanted_names(model, state, facts, &self.inputs, now));
        self.deadline = acceptance::deadline(model, state, now);
        self.note_changed(changed);
        Ok(())
    }

    fn note_changed(&mut self, entries: usize) {
        if let Some(changed) = self.changed.add(entries, std::time::Instant::now()) {
            info!("{changed} map entries changed");
        }
    }

    /// Attaches to the interfaces of networks, and announces the addresses that are served there.
    async fn reconcile_interfaces(&mut self) -> Vec<String> {
        let (host, tables) = (&self.host, self.maps.contents());
        let problems = self.attachments.reconcile(&self.model, host, &self.datapath, tables).await;
        if let (Some(tables), Some(sender)) = (tables, self.frames.sender()) {
            let attached = self.attachments.modes();
            self.announcements.announce(tables, host.facts(), attached, sender);
        }
        problems
    }

    /// Declares the gateway ready when it is, and from then on publishes what changes around it.
    fn update_readiness(&mut self) {
        let facts = self.host.facts();
        let unresolved = self.surroundings.unresolved(facts);
        let unresolved = unresolved.map(|hop| format!("the next hop {hop} to answer"));
        let unchecked = self.health.unsettled(&self.inputs);
        let unchecked = unchecked.map(|key| {
            let TargetKey { service, address, port } = key;
            format!("the first health check of {service} {address}, port {port}")
        });
        let pending = Pending {
            targets: unresolved.chain(unchecked).collect(),
            names: !self.dns.is_settled(),
        };
        let attached = self.attachments.modes();
        if self.readiness.update(pending, Instant::now()) {
            service_manager::ready();
            let ready = format!("ready: {} interfaces attached", attached.len());
            self.events.publish(Event::new(Kind::GatewayReady, ready));
        }
        if self.readiness.is_ready() {
            self.events.publish_all(self.surroundings.observe(&self.model, facts, attached));
        }
    }

    /// Reports what does not work to log, status and service manager.
    fn report(&mut self, problems: Vec<String>) {
        let missing = self.snapshot().view(&Rights::All, &FlowCounts::default()).problems();
        let problems = missing.into_iter().chain(problems).collect();
        self.readiness.report(problems, &self.model, self.attachments.modes().len());
    }

    fn publish_metrics(&self) {
        let (ready, problems) = (self.readiness.is_ready(), self.readiness.problems().len());
        let progress = self.publisher.progress(ready, problems);
        let (snapshot, counts) = (self.snapshot(), FlowCounts::default());
        let inventory = Inventory::of(&snapshot.view(&Rights::All, &counts), progress);
        self.publisher.publish(inventory);
    }

    /// Forgets what the maps hold, so that the next convergence compares them with the kernel's.
    pub fn forget_maps(&mut self) {
        self.maps.forget();
    }

    /// Applies a change of the host; says whether there is anything to reconcile.
    pub async fn accept_host_event(&mut self, event: host::Event) -> Result<bool, Error> {
        match event {
            host::Event::Message(message) => {
                // The kernel has emptied the entries of an interface that is gone.
                if matches!(*message, RouteNetlinkMessage::DelLink(_)) {
                    self.maps.forget();
                }
                // Some messages about an interface are about its program, which is no fact here.
                let link = matches!(*message, RouteNetlinkMessage::NewLink(_));
                Ok(self.host.apply(&message) || link)
            }
            host::Event::Lost => {
                warn!("netlink messages were lost; listing interfaces and neighbours again");
                Ok(self.host.learn().await?)
            }
            host::Event::Closed => Err(Error::EventsEnded),
        }
    }

    /// Applies reports of health checks; says whether the health of a target has changed.
    pub fn accept_reports(&mut self, reports: impl Iterator<Item = health::HealthReport>) -> bool {
        let events =
            self.health.accept(reports, &self.model, &mut self.inputs, self.clock.moment().now);
        let changed = events.is_some();
        self.events.publish_all(events.unwrap_or_default());
        changed
    }

    /// Notes what discovery has found.
    pub fn accept_finding(&mut self, finding: Finding) {
        self.discovery.accept(finding);
    }

    /// In how long time alone next changes what packets meet.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadline.map(|moment| moment.since(self.clock.moment().now))
    }

    /// Whether packets can flow.
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// Whether a write to the maps has failed that must be repeated.
    pub fn is_behind(&self) -> bool {
        self.maps.contents().is_none()
    }

    /// The gateway as it is now.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            model: &self.model,
            origins: &self.origins,
            state: self.store.state(),
            facts: self.host.facts(),
            inputs: &self.inputs,
            targets: &self.targets,
            attached: self.attachments.modes(),
            datapath: &self.datapath,
            tables: self.maps.contents(),
            dns: &self.dns,
            backbone: &self.backbone,
            records: &self.records,
            events: &self.events,
            publisher: &self.publisher,
            readiness: &self.readiness,
            group: self.store.group(),
            at: self.clock.moment(),
        }
    }

    fn adopt(&mut self, next: Prepared) -> Result<(), Error> {
        log_at(next.loaded.model.gateway().log_level);
        next.log_warnings(self.model.gateway());
        next.open_door(&self.socket);
        let events = self.take_over(next)?;
        self.register.send_modify(|register| register.follow(&self.model));
        // Who is new among the subscribers is told what has begun with it.
        self.events.subscribe(&self.model.gateway().subscriptions, &self.socket);
        self.events.publish_all(events);
        Ok(())
    }

    /// Adopts a configuration of which only services and endpoints differ.
    fn adopt_objects(&mut self, next: Prepared) -> Result<(), Error> {
        let events = self.take_over(next)?;
        self.events.publish_all(events);
        Ok(())
    }

    /// Puts a configuration in the place of the one in force; returns what has happened by that.
    fn take_over(&mut self, next: Prepared) -> Result<Vec<Event>, Error> {
        // On disk first: a flow must not outlive the memory of what its indices mean.
        let drains = self.store.state().drains.clone();
        let at = self.clock.moment();
        let decided = commit(self.store.as_mut(), &self.datapath, &next.state, at.ahead)?;
        let Loaded { model, sources, origins } = next.loaded;
        (self.model, self.sources, self.origins) = (model, sources, origins);
        self.inputs = next.state.inputs;
        if let Some(group) = self.store.group_mut() {
            group.follow();
        }
        let (model, state) = (&self.model, self.store.state());
        self.records.name(model, &state.ids);
        let mut events: Vec<Event> =
            of_drains(model, &drains, &state.drains, at).into_iter().collect();
        events.extend(decided);
        Ok(events)
    }

    /// Takes the programs off all interfaces, which are then as they were before the first start,
    /// and ends the name server.
    pub async fn stop_forwarding(&mut self) -> Result<Stopped, bpf::Error> {
        let gateway = self.model.gateway();
        let removed = Datapath::down(&gateway.pin_dir)?;
        host::restore(&gateway.state_dir).await.iter().for_each(|problem| warn!("{problem}"));
        self.dns.end();
        self.backbone.remove().await.unwrap_or_else(|problem| warn!("{problem}"));
        Ok(stopped(&gateway.pin_dir, removed))
    }

    /// Publishes that the daemon ends.
    pub fn publish_end(&self, text: &str) {
        self.events.publish(Event::new(Kind::GatewayEnding, text));
    }
}

/// Tells the group that this gateway belongs to, if there is one, what configuration it has, and since
/// when it runs, which is now.
fn introduce(store: &mut AnyStore, model: &Model, origins: &Origins) -> Timestamp {
    let begun = Timestamp::now();
    if let Some(group) = store.group_mut() {
        group.announce(joining::hello(model, origins, begun));
    }
    begun
}
