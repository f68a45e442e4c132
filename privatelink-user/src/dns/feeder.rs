//! The daemon's end: keeps a name server running and up to date.
//!
//! The wanted state is a value, and the server is reconciled with it: failed steps are retried, and
//! after a restart of either end only the difference is sent. A thread of its own does all of this,
//! so that the daemon never waits for a server that does not read.

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
    channel::{ListenAddress, Order, ServerReport},
    sockets,
    status::{LatestStatus, ServerStatus},
    wanted::WantedNames,
};
use crate::{events::Bus, framing, supervision::keep_working};
use changes::{ServerChanges, unproven_in_words};
use launch::ServerConnection;

/// Interval at which the feeder checks the server and retries failed steps.
const LOOK: Duration = Duration::from_millis(500);
/// How long to wait for the server to exit.
const FAREWELL: Duration = Duration::from_secs(2);

/// Keeps a name server running while there are names to serve.
#[derive(Debug)]
pub struct Feeder {
    orders: Sender<Message>,
    problems: Arc<Mutex<Vec<String>>>,
    latest: LatestStatus,
    last: WantedNames,
    /// Number of changes requested, and the number of the latest one that was applied.
    asked: u64,
    followed: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Want(u64, WantedNames),
    /// Ends the server, then signals the sender.
    End(Sender<()>),
}

impl Feeder {
    /// Starts the thread for the daemon with this control socket; it publishes changes of the
    /// server on `events`.
    pub fn start(control: &Path, events: Bus) -> Self {
        let (orders, inbox) = channel();
        let problems = Arc::default();
        let followed = Arc::default();
        let latest = LatestStatus::default();
        let mut feed = FeederThread {
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
        if let Err(error) = thread::Builder::new().name("names".into()).spawn(move || {
            keep_working("the feeder of the name server", || feed.run(&inbox));
        }) {
            warn!("names are not served: cannot start the feeder's thread: {error}");
        }
        Self { orders, problems, latest, last: WantedNames::default(), asked: 0, followed }
    }

    /// Sets what the server should serve from now on.
    pub fn want(&mut self, wanted: WantedNames) {
        if self.last != wanted {
            self.last.clone_from(&wanted);
            // Sending fails only if the thread could not be started, which was logged.
            self.asked += 1;
            let _ = self.orders.send(Message::Want(self.asked, wanted));
        }
    }

    /// What the server should serve.
    pub fn wanted(&self) -> &WantedNames {
        &self.last
    }

    /// Whether the server has everything that it should serve.
    pub fn is_settled(&self) -> bool {
        self.followed.load(Ordering::Acquire) == self.asked
    }

    /// The holder of the server's latest status.
    pub fn latest(&self) -> &LatestStatus {
        &self.latest
    }

    /// Problems of the server, each with advice.
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

/// Ends the name server of a daemon that no longer runs.
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
    /// Whether the thread has looked for a server that an earlier daemon left running.
    looked: bool,
    /// Number of the latest request, and of the latest one that was applied.
    asked: u64,
    followed: Arc<AtomicU64>,
    problems: Arc<Mutex<Vec<String>>>,
    latest: LatestStatus,
    changes: ServerChanges,
    events: Bus,
}

impl FeederThread {
    fn run(&mut self, inbox: &Receiver<Message>) {
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
                // The daemon exits, and the server keeps running.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.follow();
        }
    }

    /// Reconciles the server with the wanted state, as far as that is possible now.
    fn follow(&mut self) {
        self.check_for_exit();
        let mut problems = Vec::new();
        if self.wanted.names.is_empty() {
            self.dismiss();
            self.followed.store(self.asked, Ordering::Release);
            self.events.publish_all(self.changes.dismissed());
            self.latest.replace(None);
        } else {
            match self.supply(&mut problems) {
                Ok(report) => self.evaluate(report, &mut problems),
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

    /// Checks whether the server has exited.
    fn check_for_exit(&mut self) {
        let mut why = None;
        if self.server.as_ref().is_some_and(ServerConnection::is_gone) {
            self.server = None;
            why = Some("it has exited".to_owned());
        }
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            info!("the name server has exited: {status}");
            self.child = None;
            why = Some(format!("it has exited: {status}"));
        }
        if let Some(why) = why.filter(|_| !self.wanted.names.is_empty()) {
            self.events.publish_all(self.changes.down(&why));
        }
    }

    /// Evaluates the server's report.
    fn evaluate(&mut self, report: ServerReport, problems: &mut Vec<String>) {
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

    /// Sends the server what has changed, and requests a report.
    fn supply(&mut self, problems: &mut Vec<String>) -> io::Result<ServerReport> {
        self.looked = true;
        let server = match &mut self.server {
            Some(server) => server,
            None => self.server.insert(launch::server(&self.socket, &mut self.child)?),
        };
        for (network, names) in &self.wanted.names {
            if server.sent.get(network) != Some(names) {
                let (network, names) = (network.clone(), names.clone());
                server.send(&Order::Serve { network: network.clone(), names: names.clone() })?;
                server.sent.insert(network, names);
            }
        }
        let gone: Vec<ListenAddress> =
            server.listen_addresses.difference(&self.wanted.listen_addresses).cloned().collect();
        for at in gone {
            server.send(&Order::Close { at: at.clone() })?;
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
                    framing::send(server.stream(), &order, &opened)?;
                    server.listen_addresses.insert(at);
                }
                Err(error) => problems.push(explain(&at, &names.interface, &error)),
            }
        }
        let networks: Vec<String> = server.networks.iter().cloned().collect();
        for network in networks.into_iter().filter(|one| !self.wanted.names.contains_key(one)) {
            server.send(&Order::Forget { network: network.clone() })?;
            server.sent.remove(&network);
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
        "; another program uses port 53 there: configure it to leave out that interface"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "; the daemon needs the capability CAP_NET_BIND_SERVICE"
    } else {
        ""
    };
    format!("network {network}: names are not served at {address} on {interface}: {error}{help}")
}
