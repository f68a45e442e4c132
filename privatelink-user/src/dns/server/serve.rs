//! The name server's process: it has no privileges, only its sockets and the names it is sent.
//!
//! It outlives the daemon, as the datapath does, and serves names while the daemon is replaced. Its
//! standard input is the unix socket on which it accepts the daemon's connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{fs::MetadataExt as _, net::UnixListener},
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use log::{info, warn};
use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};
use socket2::SockRef;

use super::{
    network::Network,
    proof::Proofs,
    worker::{Job, Worker},
};
use crate::{
    confinement,
    dns::{
        channel::{Greeting, ListenAddress, Order, ServerReport},
        record::ServedNames,
    },
    framing::{self, FrameReader},
};

/// The user that the packages create for the server.
const USER: &str = "privatelink-dns";
/// Maximum number of workers; with more, the kernel's work for datagrams is the limit.
const MOST_WORKERS: usize = 8;
/// Interval at which the server checks whether its socket file still exists.
const LOOK: Duration = Duration::from_secs(2);

/// Serves names until a daemon ends it.
///
/// # Errors
/// When standard input is not a unix socket, or privileges cannot be dropped.
pub fn serve() -> Result<()> {
    let stdin =
        io::stdin().as_fd().try_clone_to_owned().context("cannot duplicate standard input")?;
    let address = SockRef::from(&stdin).local_addr().context(
        "standard input is not a socket: this command is started by the daemon, or by systemd with \
         StandardInput=socket",
    )?;
    ensure!(address.is_unix(), "standard input is not a unix socket");
    let listener = UnixListener::from(stdin);
    let socket = address.as_pathname().map(SocketFile::at).transpose()?;
    // A terminal's signals are for the daemon. This fails under systemd, where the process leads a
    // session already.
    let _ = nix::unistd::setsid();
    confinement::confine(USER)?;
    let count = thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    let workers = (0..count).map(Worker::start).collect::<Result<Vec<_>>>()?;
    let networks: Arc<Mutex<BTreeMap<String, Arc<Network>>>> = Arc::default();
    let proofs: Arc<Proofs> = Arc::default();
    proofs.start({
        let (networks, proofs) = (Arc::clone(&networks), Arc::clone(&proofs));
        move || rebuild(&networks, &proofs)
    })?;
    confinement::seal()?;
    let mut server = NameServer { workers, networks, proofs, listen_addresses: BTreeSet::new() };
    // `accept` returns after this time, so that the loop can check the socket file.
    SockRef::from(&listener).set_read_timeout(Some(LOOK)).context("cannot set a timeout")?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => match server.follow(FrameReader::new(stream)) {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    info!("the daemon has disconnected; serving its names until it returns")
                }
                Err(error) => warn!("invalid message from the daemon: {error}"),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if socket.as_ref().is_some_and(SocketFile::is_gone) {
                    info!("exiting: the socket was removed, so that no daemon can connect again");
                    return Ok(());
                }
            }
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                thread::sleep(LOOK);
            }
        }
    }
}

/// Rebuilds the tables of all networks after a verdict on a claim has changed.
fn rebuild(networks: &Mutex<BTreeMap<String, Arc<Network>>>, proofs: &Proofs) {
    for network in lock(networks).values() {
        let names = network.served().names().clone();
        network.replace(names, proofs);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file of the server's socket. It is held open because the server may lose access to its
/// directory.
#[derive(Debug)]
struct SocketFile(File);

impl SocketFile {
    fn at(path: &std::path::Path) -> Result<Self> {
        // Not by `OpenOptions`: with musl its mask of access modes contains O_PATH and removes it,
        // and a socket cannot be opened in any other way.
        let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
        Ok(Self(file.with_context(|| format!("cannot find {}", path.display()))?.into()))
    }

    fn is_gone(&self) -> bool {
        self.0.metadata().is_ok_and(|data| data.nlink() == 0)
    }
}

/// The networks, their listen addresses and the workers.
#[derive(Debug)]
struct NameServer {
    workers: Vec<Worker>,
    networks: Arc<Mutex<BTreeMap<String, Arc<Network>>>>,
    proofs: Arc<Proofs>,
    listen_addresses: BTreeSet<ListenAddress>,
}

impl NameServer {
    /// Executes a daemon's requests until it disconnects; `true` if it asked the server to exit.
    fn follow(&mut self, mut daemon: FrameReader) -> io::Result<bool> {
        let greeting = Greeting {
            version: env!("CARGO_PKG_VERSION").into(),
            workers: self.workers.len(),
            listen_addresses: self.listen_addresses.iter().cloned().collect(),
            networks: lock(&self.networks).keys().cloned().collect(),
        };
        framing::send(daemon.stream(), &greeting, &[])?;
        while let Some(order) = daemon.receive()? {
            match order {
                Order::Serve { network, names } => self.serve(network, names),
                Order::Listen { at, sockets } => {
                    let sockets = daemon.sockets(sockets);
                    self.listen(at, sockets);
                }
                Order::Close { at } => self.close(&at),
                Order::Forget { network } => {
                    lock(&self.networks).remove(&network);
                    self.want_proofs();
                }
                Order::Report => {
                    let report = self.report();
                    framing::send(daemon.stream(), &report, &[])?;
                }
                Order::Leave => return Ok(true),
            }
        }
        Ok(false)
    }

    fn serve(&self, network: String, names: ServedNames) {
        let mut networks = lock(&self.networks);
        match networks.get(&network) {
            Some(known) => known.replace(names, &self.proofs),
            None => {
                let new = Arc::new(Network::new(names, &self.proofs));
                networks.insert(network, new);
            }
        }
        drop(networks);
        self.want_proofs();
    }

    fn report(&self) -> ServerReport {
        let networks = lock(&self.networks);
        let counted =
            networks.iter().map(|(name, network)| (name.clone(), network.counters().clone()));
        ServerReport { unproven: self.proofs.unproven(), networks: counted.collect() }
    }

    fn want_proofs(&self) {
        let networks = lock(&self.networks);
        let served: Vec<_> = networks.values().map(|network| network.served()).collect();
        self.proofs.want(served.iter().flat_map(|served| served.names().claims()));
    }

    fn listen(&mut self, at: ListenAddress, mut sockets: Vec<OwnedFd>) {
        self.close(&at);
        let network = lock(&self.networks).get(&at.network).cloned();
        let (Some(network), Some(listener)) = (network, sockets.pop()) else { return };
        for (worker, socket) in self.workers.iter().zip(sockets) {
            worker.send(Job::Udp(at.clone(), Arc::clone(&network), socket));
        }
        // One worker accepts the connections of an address; addresses are spread over the workers.
        let number = self.listen_addresses.len().checked_rem(self.workers.len()).unwrap_or(0);
        if let Some(worker) = self.workers.get(number) {
            worker.send(Job::Tcp(at.clone(), Arc::clone(&network), listener));
        }
        self.listen_addresses.insert(at);
    }

    fn close(&mut self, at: &ListenAddress) {
        if self.listen_addresses.remove(at) {
            self.workers.iter().for_each(|worker| worker.send(Job::Close(at.clone())));
        }
    }
}
