//! A [`Store`] whose changes count once etcd has them, with the journal as its local copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, PoisonError,
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use log::warn;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    chunks::{Chunk, divide},
    fellows::{Fellow, Fellows, Hello},
    known::Known,
    layout::{Layout, Place},
    link::{Failure, Link, News, Order},
};
use crate::{
    etcd::{Client, Committed, Entry, Event, Guard, Revision},
    model::Name,
    state::{
        addresses::Addresses, beside::Beside, change::Change, connection::Connections,
        error::Error, journal::Journal, kept::State, store::Store,
    },
};

/// How long a commit may take: a new leader is elected within that.
const COMMIT: Duration = Duration::from_secs(3);
/// How much longer the answer is waited for.
const MARGIN: Duration = Duration::from_millis(500);
/// How long a daemon waits for etcd when it begins, before it goes on with its local copy.
const FIRST: Duration = Duration::from_secs(5);
/// How long what another gateway has written may take to arrive here.
const ARRIVAL: Duration = Duration::from_secs(2);

/// To which group a gateway belongs, and by which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: Name,
    /// The gateway's name in it.
    pub name: Name,
}

/// What others have changed.
#[derive(Clone, Debug, Default)]
pub struct TakenIn {
    /// The connections that have changed, as they were before.
    pub before: Connections,
    /// The same, as they are.
    pub after: Connections,
    /// Whether objects of the API have changed.
    pub objects: bool,
    /// Whether access keys have.
    pub keys: bool,
    /// Whether anything of the state has.
    pub state: bool,
    /// Whether gateways have come or gone.
    pub fellows: bool,
    /// Whether something begins or ends that people want to know: etcd is away, or gateways have
    /// different configurations.
    pub standing: bool,
}

/// The state of a group of gateways, as this one knows it.
#[derive(Debug)]
pub struct GroupStore {
    pub(super) journal: Journal,
    pub(super) link: Link,
    pub(super) layout: Layout,
    pub(super) membership: Membership,
    pub(super) known: Known,
    pub(super) fellows: Fellows,
    /// What `fellows` says, for those who wait until others have come so far.
    pub(super) shown: watch::Sender<BTreeMap<Name, Fellow>>,
    /// News that have arrived and are not taken in.
    pub(super) waiting: Vec<News>,
    /// The last change of the state that is known here.
    pub(super) revision: Revision,
    /// Why etcd is not reached; `None` if it is.
    pub(super) down: Option<String>,
    /// Whether a change was refused because etcd was not reached, or had other news.
    pub(super) is_behind: bool,
    pub(super) hello: Option<Hello>,
    /// Whether the configuration in force has the objects that the group has.
    pub(super) is_followed: bool,
    /// Whether everything is still to be read.
    pub(super) is_outdated: bool,
}

impl GroupStore {
    /// Joins a group. Waits for etcd for a moment, and goes on with the local copy if it is away.
    ///
    /// # Errors
    /// When there is no local copy and etcd is away.
    pub fn open(journal: Journal, client: Client, membership: Membership) -> Result<Self, Error> {
        let layout = Layout::new(&membership.group);
        let link = Link::start(client, layout.clone(), membership.name.clone());
        let link = link.map_err(|error| Error::Unreachable(error.to_string()))?;
        let mut store = Self {
            journal,
            link,
            layout,
            membership,
            known: Known::default(),
            fellows: Fellows::default(),
            shown: watch::Sender::default(),
            waiting: Vec::new(),
            revision: 0,
            down: Some("it has not answered yet".into()),
            is_behind: false,
            hello: None,
            is_followed: true,
            is_outdated: true,
        };
        let deadline = Instant::now() + FIRST;
        // Once, unless another gateway has begun the group at the same time.
        while store.is_outdated && store.wait_for_news(deadline) {
            store.take_in()?;
            if store.down.is_some() {
                break;
            }
        }
        if let Some(why) = &store.down {
            if *store.journal.state() == State::default() {
                return Err(Error::NeverReached(why.clone()));
            }
            warn!("the store of the fleet is not reached: starting from the local copy");
        }
        Ok(store)
    }

    /// Is notified when others have changed something.
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.link.bell)
    }

    /// Which group this is, and who this gateway is there.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Why etcd is not reached; `None` if it is.
    pub fn down(&self) -> Option<&str> {
        self.down.as_deref()
    }

    /// How old what is known of the group may be; `None` if etcd has not answered since the start.
    pub fn age(&self) -> Option<Duration> {
        self.link.age()
    }

    /// The last change of the group that is known here.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The gateways that run, as they change.
    pub fn fellows(&self) -> watch::Receiver<BTreeMap<Name, Fellow>> {
        self.shown.subscribe()
    }

    /// Says what this gateway is, and which configuration it has.
    pub fn announce(&mut self, hello: Hello) {
        if self.hello.as_ref() != Some(&hello) {
            self.hello = Some(hello.clone());
            self.order(Order::Hello(hello));
        }
    }

    /// What says that all that is known now is in force here; to be called once it is.
    pub fn applied(&self) -> impl FnOnce() + Send + use<> {
        let (orders, revision) = (self.link.orders.clone(), self.revision);
        // The thread ends only with this store.
        move || drop(orders.send(Order::Applied(revision)))
    }

    /// Whether the configuration in force has the objects that the group has.
    pub fn is_followed(&self) -> bool {
        self.is_followed
    }

    /// Notes that it has.
    pub fn follow(&mut self) {
        self.is_followed = true;
    }

    /// What tells this gateway's configuration from others.
    pub fn configuration(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.configuration.as_str())
    }

    /// Whether another gateway has another configuration.
    pub fn differs(&self) -> bool {
        let own = self.configuration();
        own.is_some_and(|own| self.fellows.differ(&self.membership.name, own))
    }

    /// Keeps changes on the disk. The group has them, so they count even if the disk refuses.
    pub(super) fn keep(&mut self, changes: Vec<Change>) {
        if let Err(error) = self.journal.commit(changes.clone()) {
            warn!("{error}");
            let mut next = self.journal.state().clone();
            changes.into_iter().for_each(|change| next.apply(change));
            self.journal.assume(next);
        }
    }

    /// The changes in chunks; `addresses` are those that the store has.
    pub(super) fn divided(
        &self,
        changes: Vec<Change>,
        addresses: &Addresses,
    ) -> Result<(Vec<Chunk>, Vec<Change>), Error> {
        divide(changes, &self.layout, addresses).map_err(|error| Error::Refused(error.to_string()))
    }

    pub(super) fn send(&mut self, chunks: Vec<Chunk>) -> Result<(), Error> {
        for chunk in chunks {
            let transaction = chunk.transaction(&self.layout, &self.known);
            let guards = transaction.guards.clone();
            let deadline = Instant::now() + COMMIT;
            let (answer, answered) = sync_channel(1);
            self.order(Order::Commit { transaction, deadline, answer });
            let answer = match answered.recv_timeout(COMMIT + MARGIN) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    Err(Failure::Uncertain("it has not answered".into()))
                }
            };
            match answer {
                Ok(Committed::Made(revision)) => {
                    for (key, value) in &chunk.keys {
                        self.known.wrote(key, value.is_some(), revision);
                    }
                    if chunk.is_structural {
                        let structure = self.layout.key(&Place::Structure);
                        self.known.wrote(&structure, true, revision);
                    }
                    self.revision = self.revision.max(revision);
                    self.keep(chunk.changes);
                }
                Ok(Committed::Refused(found)) => {
                    self.wait_until_known(&guards, &found);
                    return Err(Error::Conflict);
                }
                Err(Failure::Unreachable(why)) => {
                    self.down = Some(why.clone());
                    return Err(Error::Unreachable(why));
                }
                Err(Failure::Uncertain(why)) => {
                    self.down = Some(why.clone());
                    return Err(Error::Uncertain(why));
                }
                Err(Failure::Refused(why)) => return Err(Error::Refused(why)),
            }
        }
        Ok(())
    }

    /// Waits until what made guards fail has arrived here, so that the next attempt begins from it.
    fn wait_until_known(&mut self, guards: &[Guard], found: &[Entry]) {
        let deadline = Instant::now() + ARRIVAL;
        let revision = |key: &str| {
            let entry = found.iter().find(|entry| entry.key == key);
            entry.map_or(0, |entry| entry.revision)
        };
        let expected = |guard: &Guard| match guard {
            Guard::Absent(_) => 0,
            Guard::Unchanged(_, revision) => *revision,
        };
        let mut missing: BTreeSet<&str> = guards
            .iter()
            .filter(|guard| revision(guard.key()) != expected(guard))
            .map(Guard::key)
            .collect();
        let mut looked_at = 0;
        loop {
            for news in self.waiting.iter().skip(looked_at) {
                match news {
                    News::Changes(batch) => batch.events.iter().for_each(|event| {
                        let key = match event {
                            Event::Put(entry) => &entry.key,
                            Event::Deleted { key, .. } => key,
                        };
                        missing.remove(key.as_str());
                    }),
                    News::Snapshot(_) | News::Down(_) => missing.clear(),
                    News::Up => {}
                }
            }
            looked_at = self.waiting.len();
            if missing.is_empty() || !self.wait_for_news(deadline) {
                return;
            }
        }
    }

    /// Waits for the next news; `false` if there were none in time.
    fn wait_for_news(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let news = self.link.news.lock().unwrap_or_else(PoisonError::into_inner);
        let next = news.recv_timeout(left).ok();
        drop(news);
        let has_arrived = next.is_some();
        self.waiting.extend(next);
        has_arrived
    }

    pub(super) fn collect(&mut self) {
        let news = self.link.news.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived: Vec<News> = news.try_iter().collect();
        drop(news);
        self.waiting.extend(arrived);
    }

    pub(super) fn order(&self, order: Order) {
        // The thread ends only with this store.
        let _ = self.link.orders.send(order);
    }
}

impl Store for GroupStore {
    fn state(&self) -> &State {
        self.journal.state()
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        let (chunks, own) = self.divided(changes, &self.journal.state().addresses)?;
        if chunks.is_empty() {
            self.journal.commit(own)?;
            self.is_behind &= self.down.is_some();
            return Ok(());
        }
        if let Some(why) = &self.down {
            self.is_behind = true;
            return Err(Error::Unreachable(why.clone()));
        }
        self.send(chunks).inspect_err(|_| self.is_behind = true)?;
        self.is_behind = false;
        self.keep(own);
        Ok(())
    }

    fn is_behind(&self) -> bool {
        self.journal.is_behind() || (self.is_behind && self.down.is_none())
    }

    fn assume(&mut self, state: State) {
        self.journal.assume(state);
    }

    fn beside(&self, configuration: Option<&str>, removed: BTreeSet<Name>) -> Beside {
        let configuration = configuration.or(self.configuration());
        let differ =
            configuration.is_some_and(|own| self.fellows.differ(&self.membership.name, own));
        // Nobody knows what the others have while etcd is away.
        let is_certain = self.down.is_none() && self.is_followed;
        if differ || !is_certain { Beside::others(removed) } else { Beside::none() }
    }

    fn commit_here(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        let names = changes.iter().filter_map(|change| {
            let Change::Connection(name, Some(_)) = change else { return None };
            Some(Change::Unpushed(name.clone(), true))
        });
        let names: Vec<Change> = names.collect();
        self.journal.commit(changes.into_iter().chain(names).collect())
    }
}
