//! The name server: a process without rights, which has its sockets and what it is told.
//!
//! It outlives the daemon, as the datapath does: names are served while the daemon is exchanged.
//! Its standard input is the unix socket on which it waits for a daemon.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{
            fs::{MetadataExt as _, OpenOptionsExt as _},
            net::UnixListener,
        },
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use log::{info, warn};
use socket2::SockRef;

use super::{
    network::Network,
    proof::Proofs,
    sandbox,
    worker::{Job, Worker},
};
use crate::dns::{
    channel::{self, FrameReader, Greeting, ListenAddress, Order, ServerReport},
    record::ServedNames,
};

/// The most workers: with more, the kernel's work for the datagrams is what limits.
const MOST_WORKERS: usize = 8;
/// How often the server looks whether a daemon could still find it.
const LOOK: Duration = Duration::from_secs(2);

/// Serves names until a daemon says that it is enough.
///
/// # Errors
/// When standard input is no socket, or rights cannot be given up.
pub fn serve() -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().context("cannot take standard input")?;
    let address = SockRef::from(&stdin).local_addr().context(
        "standard input is no socket: the daemon starts this, or systemd with StandardInput=socket",
    )?;
    ensure!(address.is_unix(), "standard input is no unix socket");
    let listener = UnixListener::from(stdin);
    let socket = address.as_pathname().map(SocketFile::at).transpose()?;
    // A terminal's signals are for the daemon. Of a session of its own it is already under systemd.
    let _ = nix::unistd::setsid();
    sandbox::confine()?;
    let count = thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    let workers = (0..count).map(Worker::start).collect::<Result<Vec<_>>>()?;
    let networks: Arc<Mutex<BTreeMap<String, Arc<Network>>>> = Arc::default();
    let proofs: Arc<Proofs> = Arc::default();
    proofs.start({
        let (networks, proofs) = (Arc::clone(&networks), Arc::clone(&proofs));
        move || serve_again(&networks, &proofs)
    })?;
    sandbox::seal()?;
    let mut server = NameServer { workers, networks, proofs, listen_addresses: BTreeSet::new() };
    // Waiting for a connection ends after this time.
    SockRef::from(&listener).set_read_timeout(Some(LOOK)).context("cannot set a timeout")?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => match server.follow(FrameReader::new(stream)) {
                Ok(true) => return Ok(()),
                Ok(false) => info!("the daemon has gone; names are served as before"),
                Err(error) => warn!("the daemon is not understood: {error}"),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if socket.as_ref().is_some_and(SocketFile::is_gone) {
                    info!("the socket has been removed, so that no daemon can come back: ending");
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

/// Serves each network what it was to be served, after something has been proven or is no longer.
fn serve_again(networks: &Mutex<BTreeMap<String, Arc<Network>>>, proofs: &Proofs) {
    for network in lock(networks).values() {
        let names = network.served().names().clone();
        network.replace(names, proofs);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file by which daemons find the server, held since its directory may be closed to it.
#[derive(Debug)]
struct SocketFile(File);

impl SocketFile {
    fn at(path: &std::path::Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_PATH).open(path);
        Ok(Self(file.with_context(|| format!("cannot find {}", path.display()))?))
    }

    fn is_gone(&self) -> bool {
        self.0.metadata().is_ok_and(|data| data.nlink() == 0)
    }
}

/// What is served, and by whom.
#[derive(Debug)]
struct NameServer {
    workers: Vec<Worker>,
    networks: Arc<Mutex<BTreeMap<String, Arc<Network>>>>,
    proofs: Arc<Proofs>,
    listen_addresses: BTreeSet<ListenAddress>,
}

impl NameServer {
    /// Does what a daemon says until it goes; `true` if it said that this is to end.
    fn follow(&mut self, mut daemon: FrameReader) -> io::Result<bool> {
        let greeting = Greeting {
            version: env!("CARGO_PKG_VERSION").into(),
            workers: self.workers.len(),
            listen_addresses: self.listen_addresses.iter().cloned().collect(),
            networks: lock(&self.networks).keys().cloned().collect(),
        };
        channel::send(daemon.stream(), &greeting, &[])?;
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
                    channel::send(daemon.stream(), &report, &[])?;
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
            worker.tell(Job::Udp(at.clone(), Arc::clone(&network), socket));
        }
        // One worker accepts the connections of an address; addresses are spread over the workers.
        let number = self.listen_addresses.len().checked_rem(self.workers.len()).unwrap_or(0);
        if let Some(worker) = self.workers.get(number) {
            worker.tell(Job::Tcp(at.clone(), Arc::clone(&network), listener));
        }
        self.listen_addresses.insert(at);
    }

    fn close(&mut self, at: &ListenAddress) {
        if self.listen_addresses.remove(at) {
            self.workers.iter().for_each(|worker| worker.tell(Job::Close(at.clone())));
        }
    }
}
