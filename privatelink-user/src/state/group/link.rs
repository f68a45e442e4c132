//! The thread that talks to etcd: it carries out orders, and reports what has changed there.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel},
    },
    thread,
    time::{Duration, Instant as StdInstant},
};

use bytes::Bytes;
use log::{debug, info, warn};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until},
};

use super::{
    fellows::Hello,
    layout::{Layout, Place},
};
use crate::{
    chain::Chain,
    etcd::{
        Batch, Client, Committed, Error, Guard, Lease, Revision, Snapshot, Transaction, Watch,
        Write,
    },
    model::Name,
    supervision::keep_working,
};

/// How long a gateway that says nothing is still one that runs.
const LEASE: Duration = Duration::from_secs(10);
/// How long etcd may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// How long one attempt to reach etcd takes: a daemon that starts waits for the first one.
const REACH: Duration = Duration::from_secs(2);
/// The time before the first attempt after a loss.
const AGAIN: Duration = Duration::from_millis(20);
/// The time between two attempts to reach etcd.
const RETRY: Duration = Duration::from_secs(1);
/// The format that this release reads and writes.
const SCHEMA: u32 = 1;

/// What the link is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Makes a transaction, unless that is too late.
    Commit {
        /// The transaction.
        transaction: Transaction,
        /// When nobody waits for the answer any more.
        deadline: Instant,
        /// Where the answer goes.
        answer: SyncSender<Result<Committed, Failure>>,
    },
    /// Says of this gateway that it runs.
    Hello(Hello),
    /// Says that all changes up to this one are in force here.
    Applied(Revision),
    /// Reads everything again.
    Resync,
}

/// Why a transaction was not made.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was not sent.
    Unreachable(String),
    /// It was sent, and is not answered.
    Uncertain(String),
    /// etcd refuses it.
    Refused(String),
}

/// What the link reports.
#[derive(Debug)]
pub(super) enum News {
    /// Everything, at one moment.
    Snapshot(Snapshot),
    /// Changes, in order.
    Changes(Batch),
    /// etcd is reached again, and nothing was missed.
    Up,
    /// etcd is not reached.
    Down(String),
}

/// The end of the link that the store holds; dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Link {
    pub orders: mpsc::UnboundedSender<Order>,
    pub news: Mutex<Receiver<News>>,
    /// Is notified of news.
    pub bell: Arc<Notify>,
    last_contact: Arc<Mutex<Option<StdInstant>>>,
}

impl Link {
    /// Starts the thread.
    pub fn start(client: Client, layout: Layout, name: Name) -> std::io::Result<Self> {
        let (orders, received) = mpsc::unbounded_channel();
        let (sender, news) = channel();
        let bell = Arc::new(Notify::new());
        let last_contact = Arc::new(Mutex::new(None));
        let mut worker = Worker {
            client,
            layout,
            name,
            orders: received,
            news: sender,
            bell: Arc::clone(&bell),
            last_contact: Arc::clone(&last_contact),
            at: 0,
            lease: None,
            hello: None,
            applied: 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("store".into()).spawn(move || {
            keep_working("the link to the store", || runtime.block_on(worker.run()));
        })?;
        Ok(Self { orders, news: Mutex::new(news), bell, last_contact })
    }

    /// How long ago etcd has last answered; `None` if it never has.
    pub fn age(&self) -> Option<Duration> {
        let last = *self.last_contact.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| last.elapsed())
    }
}

struct Worker {
    client: Client,
    layout: Layout,
    name: Name,
    orders: mpsc::UnboundedReceiver<Order>,
    news: Sender<News>,
    bell: Arc<Notify>,
    last_contact: Arc<Mutex<Option<StdInstant>>>,
    /// How far the watch has come; 0 if everything is to be read.
    at: Revision,
    lease: Option<Lease>,
    hello: Option<Hello>,
    applied: Revision,
}

impl Worker {
    /// Runs until the store is dropped.
    async fn run(&mut self) {
        let mut last = String::new();
        loop {
            let lost = match self.begin().await {
                Ok(watch) => {
                    if !last.is_empty() {
                        info!(
                            "the store of the fleet is reached again, by {}",
                            self.client.member()
                        );
                        last.clear();
                    }
                    match self.serve(watch).await {
                        Ok(()) => return,
                        // Another member may take over: nobody is told unless none does.
                        Err(error) => {
                            debug!("the store of the fleet: {}", Chain(&error));
                            self.at = if is_gap(&error) { 0 } else { self.at };
                            sleep(AGAIN).await;
                            continue;
                        }
                    }
                }
                Err(error) => error,
            };
            if is_gap(&lost) {
                self.at = 0;
            }
            let why = Chain(&lost).to_string();
            if why != last {
                warn!("the store of the fleet is not reached: {why}");
            }
            last.clone_from(&why);
            self.tell(News::Down(why.clone()));
            if self.wait(&why).await.is_break() {
                return;
            }
        }
    }

    /// Reads what has changed since the last time, or everything, and watches from there.
    async fn begin(&mut self) -> Result<Watch, Error> {
        // A cluster that was restored from a copy may be at an earlier revision.
        let meta = self.client.read(&self.layout.key(&Place::Schema), REACH).await?;
        self.check_schema(&meta).await?;
        if self.at == 0 || meta.revision < self.at {
            let snapshot = self.client.read(self.layout.prefix(), LIMIT).await?;
            self.at = snapshot.revision;
            self.touch();
            self.tell(News::Snapshot(snapshot));
        } else {
            self.tell(News::Up);
        }
        self.renew().await?;
        self.client.watch(self.layout.prefix(), self.at + 1, LIMIT).await
    }

    /// Refuses a group whose format this release does not know; gives a new group ours.
    async fn check_schema(&mut self, meta: &Snapshot) -> Result<(), Error> {
        let key = self.layout.key(&Place::Schema);
        let Some(entry) = meta.entries.iter().find(|entry| entry.key == key) else {
            let value = Bytes::from(SCHEMA.to_string());
            let transaction = Transaction {
                guards: vec![Guard::Absent(key.clone())],
                writes: vec![Write::Put { key, value, lease: 0 }],
            };
            // Another gateway may be faster.
            return self.client.commit(transaction, LIMIT).await.map(drop);
        };
        let found: Option<u32> = serde_json::from_slice(&entry.value).ok();
        if found == Some(SCHEMA) {
            return Ok(());
        }
        let found = String::from_utf8_lossy(&entry.value);
        Err(Error::Cancelled(format!(
            "the group has format {found}, and this release knows {SCHEMA}: upgrade this gateway"
        )))
    }

    /// Carries out orders and reports changes, until the connection is lost; `Ok` if the store was
    /// dropped.
    async fn serve(&mut self, mut watch: Watch) -> Result<(), Error> {
        let mut renewal = Instant::now() + LEASE / 3;
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order).await?,
                    None => {
                        if let Some(lease) = self.lease.take() {
                            // It ends by itself otherwise.
                            let _ = self.client.revoke(lease.id, RETRY).await;
                        }
                        return Ok(());
                    }
                },
                batch = watch.next() => {
                    let batch = batch?;
                    self.at = self.at.max(batch.revision);
                    self.touch();
                    if !batch.events.is_empty() {
                        self.tell(News::Changes(batch));
                    }
                }
                () = sleep_until(renewal) => {
                    self.renew().await?;
                    renewal = Instant::now() + LEASE / 3;
                }
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), Error> {
        match order {
            Order::Commit { transaction, deadline, answer } => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let why = Failure::Unreachable("it was busy for too long".into());
                    // Who asked may have ended.
                    let _ = answer.send(Err(why));
                    self.tell(News::Up);
                    return Ok(());
                }
                let result = self.client.commit(transaction, left).await;
                match result {
                    Ok(committed) => {
                        self.touch();
                        if answer.send(Ok(committed)).is_err() {
                            // The caller has given up, and takes the store for away.
                            self.tell(News::Up);
                        }
                    }
                    Err(error) => {
                        let text = Chain(&error).to_string();
                        let passing = error.is_passing();
                        let failure = if matches!(error, Error::Connect { .. }) {
                            Failure::Unreachable(text)
                        } else if passing {
                            Failure::Uncertain(text)
                        } else {
                            Failure::Refused(text)
                        };
                        let _ = answer.send(Err(failure));
                        if passing {
                            return Err(error);
                        }
                    }
                }
                Ok(())
            }
            Order::Hello(hello) => {
                self.hello = Some(hello);
                self.say_hello().await
            }
            Order::Applied(revision) => {
                if revision <= self.applied {
                    return Ok(());
                }
                self.applied = revision;
                self.say_applied().await
            }
            Order::Resync => {
                self.at = 0;
                Err(Error::Compacted { oldest: 0 })
            }
        }
    }

    /// Keeps the lease alive, or gets one, under which this gateway says that it runs.
    async fn renew(&mut self) -> Result<(), Error> {
        if let Some(lease) = self.lease {
            self.lease = self.client.keep_alive(lease.id, LIMIT).await?;
        }
        self.touch();
        if self.lease.is_none() {
            self.lease = Some(self.client.grant(LEASE, LIMIT).await?);
            self.say_hello().await?;
            self.say_applied().await?;
        }
        Ok(())
    }

    async fn say_hello(&mut self) -> Result<(), Error> {
        let Some(value) = self.hello.as_ref().and_then(|hello| serde_json::to_vec(hello).ok())
        else {
            return Ok(());
        };
        let key = self.layout.key(&Place::Hello(self.name.clone()));
        self.put(key, value.into()).await
    }

    async fn say_applied(&mut self) -> Result<(), Error> {
        if self.applied == 0 {
            return Ok(());
        }
        let key = self.layout.key(&Place::Applied(self.name.clone()));
        self.put(key, self.applied.to_string().into()).await
    }

    /// Writes a key under the lease, which is this gateway's alone: it needs no guard.
    async fn put(&mut self, key: String, value: Bytes) -> Result<(), Error> {
        let Some(lease) = self.lease else { return Ok(()) };
        let writes = vec![Write::Put { key, value, lease: lease.id }];
        let put = self.client.commit(Transaction { guards: Vec::new(), writes }, LIMIT).await;
        match put {
            Ok(_) => {
                self.touch();
                Ok(())
            }
            Err(error) if error.to_string().contains("lease not found") => {
                self.lease = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the next attempt; refuses what is asked meanwhile.
    async fn wait(&mut self, why: &str) -> ControlFlow<()> {
        let until = Instant::now() + RETRY;
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Commit { answer, .. }) => {
                        let _ = answer.send(Err(Failure::Unreachable(why.to_owned())));
                    }
                    Some(Order::Hello(hello)) => self.hello = Some(hello),
                    Some(Order::Applied(revision)) => self.applied = self.applied.max(revision),
                    Some(Order::Resync) => self.at = 0,
                    None => return ControlFlow::Break(()),
                },
                () = sleep_until(until) => return ControlFlow::Continue(()),
            }
        }
    }

    fn tell(&self, news: News) {
        // The store may have been dropped: its orders have ended then, too.
        let _ = self.news.send(news);
        self.bell.notify_one();
    }

    fn touch(&self) {
        let mut last = self.last_contact.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(StdInstant::now());
    }
}

/// Whether etcd has forgotten what the watch would go on with.
fn is_gap(error: &Error) -> bool {
    matches!(error, Error::Compacted { .. })
}
