//! The daemon's end: keeps a server running, and tells it what is to be served.
//!
//! What is wanted is a value, and the server is brought after it: what failed is tried again, and
//! after a restart of either end only the difference is made up. All of it happens in a thread of
//! its own, so that a server that does not read keeps nobody waiting.

mod changes;
mod launch;

use std::{
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Child,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use log::{info, warn};

use super::{
    channel::{self, ListenAddress, Order, ServerReport},
    sockets,
    status::{LatestStatus, ServerStatus},
    wanted::WantedNames,
};
use crate::events::Bus;
use changes::{ServerChanges, unproven_in_words};
use launch::ServerConnection;

/// How often the feeder looks after the server, and tries again what failed.
const LOOK: Duration = Duration::from_millis(500);
/// How long the server may take to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Has names served for as long as there are some to serve.
#[derive(Debug)]
pub struct Feeder {
    orders: Sender<Message>,
    problems: Arc<Mutex<Vec<String>>>,
    latest: LatestStatus,
    last: WantedNames,
    /// How many times something else was wanted, and how many of these have been followed.
    asked: u64,
    followed: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Want(u64, WantedNames),
    /// The server is to end; whoever waits for that is told.
    End(Sender<()>),
}

impl Feeder {
    /// Starts to look after the server of the daemon with this control socket, and to tell what
    /// happens to it.
    pub fn start(control: &Path, events: Bus) -> Self {
        let (orders, inbox) = channel();
        let problems = Arc::default();
        let followed = Arc::default();
        let latest = LatestStatus::default();
        let feed = FeederThread {
            socket: launch::socket_path(control),
            wanted: WantedNames::default(),
            server: None,
            child: None,
            looked: false,
            asked: 0,
            followed: Arc::clone(&followed),
            problems: Arc::clone(&problems),
            latest: latest.clone(),
            changes: ServerChanges::default(),
            events,
        };
        if let Err(error) =
            thread::Builder::new().name("names".into()).spawn(move || feed.run(&inbox))
        {
            warn!("names are not served: cannot start a thread: {error}");
        }
        Self { orders, problems, latest, last: WantedNames::default(), asked: 0, followed }
    }

    /// Has this served from now on.
    pub fn want(&mut self, wanted: WantedNames) {
        if self.last != wanted {
            self.last.clone_from(&wanted);
            // Without its thread, the log says why.
            self.asked += 1;
            let _ = self.orders.send(Message::Want(self.asked, wanted));
        }
    }

    /// What is wanted.
    pub fn wanted(&self) -> &WantedNames {
        &self.last
    }

    /// Whether the server has been told everything that is wanted.
    pub fn is_settled(&self) -> bool {
        self.followed.load(Ordering::Acquire) == self.asked
    }

    /// Where the latest account of the server is.
    pub fn latest(&self) -> &LatestStatus {
        &self.latest
    }

    /// What is not served, and what to do about it.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the server.
    pub fn end(&self) {
        let (ended, end) = channel();
        if self.orders.send(Message::End(ended)).is_ok() {
            let _ = end.recv_timeout(FAREWELL);
        }
    }
}

/// Ends the server of a daemon that is gone itself.
pub fn end(control: &Path) {
    if let Ok(server) = ServerConnection::open(&launch::socket_path(control)) {
        server.dismiss(FAREWELL);
    }
}

struct FeederThread {
    socket: PathBuf,
    wanted: WantedNames,
    server: Option<ServerConnection>,
    child: Option<Child>,
    /// Whether it has been looked for a server that an earlier daemon left.
    looked: bool,
    /// Which of the wishes is the last, and which has been followed.
    asked: u64,
    followed: Arc<AtomicU64>,
    problems: Arc<Mutex<Vec<String>>>,
    latest: LatestStatus,
    changes: ServerChanges,
    events: Bus,
}

impl FeederThread {
    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(Message::Want(asked, wanted)) => (self.asked, self.wanted) = (asked, wanted),
                Ok(Message::End(ended)) => {
                    self.wanted = WantedNames::default();
                    self.follow();
                    let _ = ended.send(());
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The daemon ends, and the server goes on.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.follow();
        }
    }

    /// Brings the server after what is wanted, as far as that is possible now.
    fn follow(&mut self) {
        self.look_for_ends();
        let mut problems = Vec::new();
        if self.wanted.names.is_empty() {
            self.dismiss();
            self.followed.store(self.asked, Ordering::Release);
            self.events.publish_all(self.changes.dismissed());
            self.latest.replace(None);
        } else {
            match self.supply(&mut problems) {
                Ok(report) => self.take_in(report, &mut problems),
                Err(error) => {
                    self.server = None;
                    problems.push(format!("names are not served: the name server: {error}"));
                    self.events.publish_all(self.changes.down(&error.to_string()));
                    let known = self.latest.status().unwrap_or_default();
                    self.latest.replace(Some(ServerStatus { up: false, ..known }));
                }
            }
            let behind = self.followed.load(Ordering::Acquire) != self.asked;
            self.events.publish_all(self.changes.look(behind, &problems, Instant::now()));
        }
        let mut known = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in problems.iter().filter(|problem| !known.contains(problem)) {
            warn!("{problem}");
        }
        *known = problems;
    }

    /// Looks whether the server has ended.
    fn look_for_ends(&mut self) {
        let mut why = None;
        if self.server.as_ref().is_some_and(ServerConnection::is_gone) {
            self.server = None;
            why = Some("it has ended".to_owned());
        }
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            info!("the name server has ended: {status}");
            self.child = None;
            why = Some(format!("it has ended: {status}"));
        }
        if let Some(why) = why.filter(|_| !self.wanted.names.is_empty()) {
            self.events.publish_all(self.changes.down(&why));
        }
    }

    /// Takes in what the server says of itself.
    fn take_in(&mut self, report: ServerReport, problems: &mut Vec<String>) {
        let ServerReport { unproven, networks } = report;
        problems.extend(unproven.iter().map(|(claim, reason)| unproven_in_words(claim, reason)));
        self.events.publish_all(self.changes.up(self.wanted.names.len()));
        self.events.publish_all(self.changes.prove(&self.wanted.names, &unproven));
        let status = ServerStatus { up: true, conflicts: self.changes.conflicts(), networks };
        self.latest.replace(Some(status));
    }

    fn dismiss(&mut self) {
        let left = if self.looked { None } else { ServerConnection::open(&self.socket).ok() };
        self.looked = true;
        if let Some(server) = self.server.take().or(left) {
            server.dismiss(FAREWELL);
        }
    }

    /// Tells the server what is new, and has it report.
    fn supply(&mut self, problems: &mut Vec<String>) -> io::Result<ServerReport> {
        self.looked = true;
        let server = match &mut self.server {
            Some(server) => server,
            None => self.server.insert(launch::server(&self.socket, &mut self.child)?),
        };
        for (network, names) in &self.wanted.names {
            if server.told.get(network) != Some(names) {
                let (network, names) = (network.clone(), names.clone());
                server.tell(&Order::Serve { network: network.clone(), names: names.clone() })?;
                server.told.insert(network, names);
            }
        }
        let gone: Vec<ListenAddress> =
            server.listen_addresses.difference(&self.wanted.listen_addresses).cloned().collect();
        for at in gone {
            server.tell(&Order::Close { at: at.clone() })?;
            server.listen_addresses.remove(&at);
        }
        let new: Vec<ListenAddress> =
            self.wanted.listen_addresses.difference(&server.listen_addresses).cloned().collect();
        for at in new {
            let Some(names) = self.wanted.names.get(&at.network) else { continue };
            match sockets::open(&at, &names.interface, server.workers) {
                Ok(opened) => {
                    let order = Order::Listen { at: at.clone(), sockets: opened.len() };
                    let opened: Vec<_> = opened.iter().map(|socket| socket.as_fd()).collect();
                    channel::send(server.stream(), &order, &opened)?;
                    server.listen_addresses.insert(at);
                }
                Err(error) => problems.push(explain(&at, &names.interface, &error)),
            }
        }
        let networks: Vec<String> = server.networks.iter().cloned().collect();
        for network in networks.into_iter().filter(|one| !self.wanted.names.contains_key(one)) {
            server.tell(&Order::Forget { network: network.clone() })?;
            server.told.remove(&network);
            server.networks.remove(&network);
        }
        server.networks.extend(self.wanted.names.keys().cloned());
        if problems.is_empty() {
            self.followed.store(self.asked, Ordering::Release);
        }
        server.report()
    }
}

fn explain(at: &ListenAddress, interface: &str, error: &io::Error) -> String {
    let ListenAddress { network, address, .. } = at;
    let help = if error.kind() == io::ErrorKind::AddrInUse {
        "; another program has port 53 there: have it leave that interface out"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "; the daemon needs the capability CAP_NET_BIND_SERVICE"
    } else {
        ""
    };
    format!("network {network}: names are not served at {address} on {interface}: {error}{help}")
}
