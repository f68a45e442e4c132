//! The daemon's end of the thread: what is wanted goes there, what is known comes back.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use log::{info, warn};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    engine::Transport,
    seen::{LatestOverview, Overview, SiteView, problems},
    wanted::Wanted,
};
use crate::{
    chain::Chain,
    model::{Name, PublicKey},
    supervision::keep_working,
};

/// How often peers and reports are looked after.
const LOOK: Duration = Duration::from_millis(250);
/// How many looks there are between two reports, and between two looks at interfaces.
const REPORT: u32 = 4;
const INTERFACES: u32 = 20;
/// How long an opening that has failed waits.
const RETRY: Duration = Duration::from_secs(3);

/// Keeps the links as they are wanted.
#[derive(Debug)]
pub struct BackboneKeeper {
    orders: mpsc::UnboundedSender<Order>,
    known: LatestOverview,
    last: Option<Wanted>,
    /// Problems when the daemon last looked.
    looked: Vec<String>,
}

/// What a change of this site's key has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key in use.
    pub public_key: PublicKey,
    /// The key that comes next; `None` once it is in use.
    pub next: Option<PublicKey>,
    /// The sites that do not list it yet.
    pub missing: Vec<Name>,
}

#[derive(Debug)]
enum Order {
    Want(Option<Box<Wanted>>),
    Rotate { force: bool, reply: oneshot::Sender<Result<Rotation, String>> },
    Remove(oneshot::Sender<Result<(), String>>),
}

impl BackboneKeeper {
    /// Starts the thread.
    pub fn start() -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let known = LatestOverview::default();
        let mut keeper = KeeperThread {
            wanted: None,
            transport: None,
            views: BTreeMap::new(),
            known: known.clone(),
        };
        let mut inbox = inbox;
        let spawned = thread::Builder::new().name("backbone".into()).spawn(move || {
            keep_working("the keeper of the backbone", || {
                match runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime.block_on(keeper.run(&mut inbox)),
                    Err(error) => warn!("the backbone is not kept: {error}"),
                }
            });
        });
        if let Err(error) = spawned {
            warn!("the backbone is not kept: cannot start a thread: {error}");
        }
        Self { orders, known, last: None, looked: Vec::new() }
    }

    /// Sets what links are from now on.
    pub fn want(&mut self, wanted: Option<Wanted>) {
        if self.last != wanted {
            self.last.clone_from(&wanted);
            // Sending fails only if the thread could not be started, which was logged.
            let _ = self.orders.send(Order::Want(wanted.map(Box::new)));
        }
    }

    /// What is known of all links, for those who read it at any time.
    pub fn latest(&self) -> LatestOverview {
        self.known.clone()
    }

    /// What is known of all links.
    pub fn overview(&self) -> Overview {
        self.known.read()
    }

    /// Whether problems have changed since the last call.
    pub fn has_news(&mut self) -> bool {
        // How long a site is silent is no news.
        let problems = self.known.read().problems().into_iter();
        let problems =
            problems.map(|text| text.replace(|c: char| c.is_ascii_digit(), "")).collect();
        std::mem::replace(&mut self.looked, problems) != self.looked
    }

    /// Prepares this site's next key, and uses it once every other site lists it; at once with
    /// `force`.
    pub fn rotate(&self, force: bool) -> oneshot::Receiver<Result<Rotation, String>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Rotate { force, reply });
        answer
    }

    /// Removes everything: interfaces, namespace, and the process that encrypts.
    pub fn remove(&mut self) -> oneshot::Receiver<Result<(), String>> {
        let (reply, answer) = oneshot::channel();
        self.last = None;
        let _ = self.orders.send(Order::Remove(reply));
        answer
    }
}

struct KeeperThread {
    wanted: Option<Wanted>,
    transport: Option<Transport>,
    views: BTreeMap<Name, SiteView>,
    known: LatestOverview,
}

impl KeeperThread {
    /// Runs until the daemon ends.
    async fn run(&mut self, inbox: &mut mpsc::UnboundedReceiver<Order>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0_u32;
        loop {
            let received = async {
                match self.transport.as_mut() {
                    Some(transport) => transport.exchange().ready().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => {
                        self.obey(order).await;
                        count = 0;
                    }
                    None => break,
                },
                _ = ticks.tick() => {
                    self.look(count).await;
                    count = count.wrapping_add(1);
                }
                _ = received => self.receive(),
            }
        }
        if let Some(transport) = self.transport.take() {
            transport.leave();
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Want(wanted) => self.want(wanted.map(|wanted| *wanted)).await,
            Order::Rotate { force, reply } => {
                let result = self.rotate(force).await;
                let _ = reply.send(result);
            }
            Order::Remove(reply) => {
                let result = self.remove().await;
                self.wanted = None;
                let _ = reply.send(result);
            }
        }
    }

    async fn want(&mut self, wanted: Option<Wanted>) {
        let stays = |transport: &Transport| wanted.as_ref().is_some_and(|one| transport.is_of(one));
        if self.transport.as_ref().is_some_and(|transport| !stays(transport))
            && let Err(error) = self.remove().await
        {
            warn!("{error}");
        }
        let sites = wanted.iter().flat_map(|wanted| &wanted.sites);
        let names: Vec<&Name> = sites.map(|site| &site.name).collect();
        self.views.retain(|name, _| names.contains(&name));
        let now = Instant::now();
        for name in names {
            self.views.entry(name.clone()).or_default().since.get_or_insert(now);
        }
        self.wanted = wanted;
        self.publish(Vec::new());
    }

    async fn remove(&mut self) -> Result<(), String> {
        let Some(transport) = self.transport.take() else { return Ok(()) };
        let removed = transport.remove(self.wanted.as_ref()).await;
        removed.map_err(|error| Chain(&error).to_string())
    }

    async fn rotate(&mut self, force: bool) -> Result<Rotation, String> {
        let failed = |error: super::Error| Chain(&error).to_string();
        let absent = || "there is no backbone; write [backbone] and reload".to_owned();
        let transport = self.transport.as_mut().ok_or_else(absent)?;
        let next = transport.keys().prepare().map_err(failed)?;
        if force {
            transport.advance().await.map_err(failed)?;
        } else {
            self.advance_if_listed().await.map_err(failed)?;
        }
        let missing = self.missing(&next);
        let transport = self.transport.as_mut().ok_or_else(absent)?;
        let (public_key, next) = (transport.keys().present().public(), transport.keys().next());
        self.publish(Vec::new());
        Ok(Rotation { public_key, next, missing })
    }

    /// The sites that do not list a key of this one.
    fn missing(&self, key: &PublicKey) -> Vec<Name> {
        let now = Instant::now();
        let views = self.views.iter().filter(|(_, view)| !view.accepts(key, now));
        views.map(|(name, _)| name.clone()).collect()
    }

    async fn advance_if_listed(&mut self) -> Result<(), super::Error> {
        let next = self.transport.as_mut().and_then(|transport| transport.keys().next());
        let Some(next) = next else { return Ok(()) };
        let missing = self.missing(&next);
        match self.transport.as_mut() {
            Some(transport) if missing.is_empty() => transport.advance().await,
            Some(_) | None => Ok(()),
        }
    }

    /// Looks after everything; `count` says how often it has.
    async fn look(&mut self, count: u32) {
        let Some(wanted) = self.wanted.clone() else { return };
        let mut faults = Vec::new();
        if self.transport.is_none() {
            match Transport::open(&wanted).await {
                Ok(transport) => {
                    info!("the backbone is there; WireGuard: {}", transport.implementation());
                    self.transport = Some(transport);
                }
                Err(error) => {
                    faults.push(format!("backbone: {}", Chain(&error)));
                    self.publish(faults);
                    sleep(RETRY).await;
                    return;
                }
            }
        }
        let is_new = count == 0;
        if let Err(error) =
            self.reconcile(&wanted, is_new || count.is_multiple_of(INTERFACES)).await
        {
            faults.push(format!("backbone: {}", Chain(&error)));
            // Its interface may be gone, or the process that served it: it is opened anew.
            if let Some(transport) = self.transport.take() {
                transport.leave();
            }
        }
        if let Some(transport) = &self.transport
            && (is_new || count.is_multiple_of(REPORT))
        {
            transport.report(&wanted);
        }
        self.publish(faults);
    }

    async fn reconcile(&mut self, wanted: &Wanted, with_links: bool) -> Result<(), super::Error> {
        if let Some(transport) = &mut self.transport {
            if with_links {
                transport.reconcile_links(wanted).await?;
            }
            transport.reconcile_peers(wanted, &mut self.views, Instant::now())?;
        }
        self.advance_if_listed().await
    }

    /// Takes what other sites report.
    fn receive(&mut self) {
        let (Some(wanted), Some(transport)) = (&self.wanted, &mut self.transport) else { return };
        let now = Instant::now();
        for (name, report) in transport.exchange().receive(&Transport::senders(wanted)) {
            if let Some(view) = self.views.get_mut(&name) {
                (view.report, view.heard) = (Some(report), Some(now));
            }
        }
    }

    fn publish(&mut self, faults: Vec<String>) {
        let now = Instant::now();
        let mut keys = (None, None);
        let mut implementation = None;
        if let Some(transport) = &mut self.transport {
            implementation = Some(transport.implementation());
            keys = (Some(transport.keys().present().public()), transport.keys().next());
        }
        for site in self.wanted.iter().flat_map(|wanted| &wanted.sites) {
            let Some(wanted) = &self.wanted else { continue };
            let Some(view) = self.views.get_mut(&site.name) else { continue };
            let own = keys.0.is_some_and(|key| site.keys.contains(&key));
            view.problems = if own {
                vec![format!("site {}: `public_key` lists this site's own key", site.name)]
            } else {
                problems(wanted, site, view, now)
            };
        }
        self.known.replace(Overview {
            implementation,
            public_key: keys.0,
            next_public_key: keys.1,
            sites: self.views.clone(),
            faults,
        });
    }
}
