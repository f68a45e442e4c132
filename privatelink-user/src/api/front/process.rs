//! The process: it has its listener, a connection to the daemon, and nothing else.

use std::{
    future::pending,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    sync::{Arc, Barrier, mpsc as blocking},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use log::{debug, warn};
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

use super::{
    bounds::{Bounds, Limits, Place},
    channel::{Connected, Order},
    filter,
    relay::relay,
    tls,
};
use crate::{
    confinement,
    framing::{self, FrameReader},
};

/// The user that it becomes where the daemon is root and that user exists.
const USER: &str = "privatelink-front";
/// How long a caller may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a caller may leave an answer unread.
const UNREAD: Duration = Duration::from_secs(30);
/// Connections that the daemon has not accepted yet; more are closed.
const WAITING: usize = 64;
/// The pause after `accept` has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection on its way to the daemon.
type Passed = (Connected, StdStream);

/// Serves until the daemon ends.
///
/// # Errors
/// When standard input is not the daemon's socket, or privileges cannot be dropped.
pub fn serve() -> Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let address = SockRef::from(&stdin).local_addr();
    let is_unix = address.is_ok_and(|address| address.is_unix() || address.is_unnamed());
    ensure!(is_unix, "standard input is not a socket: the daemon starts this command");
    let daemon = StdStream::from(stdin);
    // A terminal's signals are for the daemon.
    let _ = nix::unistd::setsid();
    confinement::confine(USER)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (orders, inbox) = mpsc::channel(4);
    let reader = FrameReader::new(daemon.try_clone()?);
    // The filter would stop a thread that has not begun yet from doing so.
    let begun = Arc::new(Barrier::new(3));
    let (first, second) = (Arc::clone(&begun), Arc::clone(&begun));
    thread::Builder::new().name("orders".into()).spawn(move || {
        first.wait();
        read(reader, &orders);
    })?;
    let (outbox, passed) = blocking::sync_channel(WAITING);
    thread::Builder::new().name("daemon".into()).spawn(move || {
        second.wait();
        pass_on(&daemon, &passed);
    })?;
    begun.wait();
    confinement::seal()?;
    filter::install()?;
    runtime.block_on(Front::new(outbox).run(inbox));
    Ok(())
}

/// Reads orders until the daemon ends.
fn read(mut reader: FrameReader, orders: &mpsc::Sender<(Order, Option<OwnedFd>)>) {
    loop {
        match reader.receive() {
            Ok(Some(order)) => {
                let listener = match order {
                    Order::Listen => reader.sockets(1).pop(),
                    Order::Show(_) => None,
                };
                if orders.blocking_send((order, listener)).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                warn!("invalid message from the daemon: {error}");
                return;
            }
        }
    }
}

/// Passes connections on to the daemon. A thread of its own waits where the daemon does not read.
fn pass_on(daemon: &StdStream, passed: &blocking::Receiver<Passed>) {
    while let Ok((connected, stream)) = passed.recv() {
        if let Err(error) = framing::send(daemon, &connected, &[stream.as_fd()]) {
            debug!("the daemon does not take a connection: {error}");
            return;
        }
    }
}

/// What accepts connections.
struct Front {
    listener: Option<TcpListener>,
    config: Option<Arc<ServerConfig>>,
    bounds: Bounds,
    outbox: blocking::SyncSender<Passed>,
}

impl Front {
    fn new(outbox: blocking::SyncSender<Passed>) -> Self {
        Self { listener: None, config: None, bounds: Bounds::new(Limits::DEFAULT), outbox }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<(Order, Option<OwnedFd>)>) {
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some((order, listener)) => self.follow(order, listener),
                    None => return,
                },
                accepted = accept(self.listener.as_ref()) => match accepted {
                    Ok((stream, peer)) => self.begin(stream, peer),
                    Err(error) => {
                        debug!("cannot accept a connection: {error}");
                        sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    fn follow(&mut self, order: Order, listener: Option<OwnedFd>) {
        match order {
            Order::Show(credentials) => match tls::config(&credentials) {
                Ok(config) => self.config = Some(Arc::new(config)),
                // The daemon has tried the same and reports it.
                Err(error) => warn!("the certificates stay as they were: {error}"),
            },
            Order::Listen => {
                let listener = listener.map(StdListener::from).ok_or(io::ErrorKind::NotFound);
                let listener = listener.map_err(io::Error::from).and_then(TcpListener::from_std);
                match listener {
                    Ok(listener) => self.listener = Some(listener),
                    Err(error) => warn!("cannot use the listener: {error}"),
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(config) = &self.config else { return };
        let Some(place) = self.bounds.place(peer.ip(), Instant::now()) else { return };
        let (acceptor, outbox) = (TlsAcceptor::from(Arc::clone(config)), self.outbox.clone());
        tokio::spawn(async move {
            if let Err(error) = converse(stream, peer, acceptor, outbox, place).await {
                debug!("a connection from {peer} failed: {error:#}");
            }
        });
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => pending().await,
    }
}

/// A connection from its handshake to its end.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    outbox: blocking::SyncSender<Passed>,
    _place: Place,
) -> Result<()> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(UNREAD));
    let stream = timeout(HANDSHAKE, acceptor.accept(Box::pin(stream))).await??;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let connected = Connected::of(peer, certificates);
    let (near, far) = StdStream::pair()?;
    far.set_nonblocking(true)?;
    near.set_nonblocking(true)?;
    outbox.try_send((connected, far)).ok().context("the daemon is busy")?;
    Ok(relay(stream, UnixStream::from_std(near)?).await?)
}
