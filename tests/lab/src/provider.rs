//! A tiny provider: a web page, a TCP echo and a UDP echo that record their peers.

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::sys::socket;

use super::network::Host;

/// What the page says.
pub const GREETING: &str = "Welcome to PrivateLink Demo from VPC-A";

/// The header in which the page reports the peer that it saw.
pub const SEEN_FROM: &str = "X-Seen-From";

/// The port of the page.
pub const HTTP_PORT: u16 = 8080;

/// The port of both echoes.
pub const ECHO_PORT: u16 = 7777;

/// How often a UDP server checks whether it should end.
const UDP_POLL: Duration = Duration::from_millis(100);

/// What a server does with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers each request with the page.
    Http,
    /// Sends every byte of a connection back.
    TcpEcho,
    /// Sends every datagram back.
    UdpEcho,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Http => "the page",
            Self::TcpEcho => "TCP echo",
            Self::UdpEcho => "UDP echo",
        })
    }
}

/// One conversation, as the provider saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The server.
    pub kind: Kind,
    /// The server's address.
    pub local: SocketAddr,
    /// The peer's address.
    pub peer: SocketAddr,
}

/// Running servers; dropping it ends them and their connections.
#[derive(Debug)]
pub struct Provider {
    state: Arc<State>,
    listeners: Vec<TcpListener>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    stopping: AtomicBool,
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<BTreeMap<u64, TcpStream>>,
}

impl Provider {
    /// Starts the page and both echoes on every address of the host, at the usual ports.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn start(host: &Host) -> Result<Self> {
        Self::with(
            host,
            &[(Kind::Http, HTTP_PORT), (Kind::TcpEcho, ECHO_PORT), (Kind::UdpEcho, ECHO_PORT)],
        )
    }

    /// Starts the named servers on every address of the host.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn with(host: &Host, servers: &[(Kind, u16)]) -> Result<Self> {
        Self::at(host.namespace(), &host.addresses(), servers)
    }

    /// Starts the named servers on these addresses of a namespace.
    ///
    /// # Errors
    /// When a port is taken, or an address is not the namespace's.
    pub fn at(
        namespace: &super::Namespace,
        addresses: &[IpAddr],
        servers: &[(Kind, u16)],
    ) -> Result<Self> {
        let mut provider =
            Self { state: Arc::new(State::default()), listeners: Vec::new(), threads: Vec::new() };
        // Each address is bound by itself: a datagram sent to one must be answered from it.
        for address in addresses {
            for (kind, port) in servers {
                let local = SocketAddr::new(*address, *port);
                namespace
                    .run(|| provider.serve(*kind, local))
                    .with_context(|| format!("cannot serve {kind:?} at {local}"))?;
            }
        }
        Ok(provider)
    }

    /// Returns every conversation seen so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    fn serve(&mut self, kind: Kind, local: SocketAddr) -> Result<()> {
        let state = Arc::clone(&self.state);
        let thread = match kind {
            Kind::UdpEcho => {
                let socket = UdpSocket::bind(local)?;
                socket.set_read_timeout(Some(UDP_POLL))?;
                thread::spawn(move || state.echo_datagrams(&socket, local))
            }
            Kind::Http | Kind::TcpEcho => {
                let listener = TcpListener::bind(local)?;
                self.listeners.push(listener.try_clone()?);
                thread::spawn(move || state.accept(kind, &listener, local))
            }
        };
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::SeqCst);
        for listener in &self.listeners {
            // Wakes the thread that waits in accept(); an error means that it has gone.
            let _gone = socket::shutdown(listener.as_raw_fd(), socket::Shutdown::Both);
        }
        for connection in lock(&self.state.connections).values() {
            let _gone = connection.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

impl State {
    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn note(&self, seen: Seen) {
        lock(&self.seen).push(seen);
    }

    fn echo_datagrams(&self, socket: &UdpSocket, local: SocketAddr) {
        let mut buffer = vec![0; 65536];
        while !self.stopping() {
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
            self.note(Seen { kind: Kind::UdpEcho, local, peer });
            // A peer that is gone does not affect the others.
            let _sent = socket.send_to(buffer.get(..length).unwrap_or_default(), peer);
        }
    }

    fn accept(self: Arc<Self>, kind: Kind, listener: &TcpListener, local: SocketAddr) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        while !self.stopping() {
            let Ok((stream, peer)) = listener.accept() else { continue };
            self.note(Seen { kind, local, peer });
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            if let Ok(clone) = stream.try_clone() {
                lock(&self.connections).insert(number, clone);
            }
            let state = Arc::clone(&self);
            thread::spawn(move || {
                // The client sees a broken connection and reports it.
                let _served = match kind {
                    Kind::Http => serve_page(&stream, local, peer),
                    Kind::TcpEcho | Kind::UdpEcho => echo_bytes(&stream),
                };
                lock(&state.connections).remove(&number);
            });
        }
    }
}

fn serve_page(mut stream: &TcpStream, local: SocketAddr, peer: SocketAddr) -> Result<()> {
    for line in BufReader::new(stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    send_page(&mut stream, local, peer)
}

/// One write, and so one packet: a formatted write to a socket is one for each argument.
fn send_page(stream: &mut impl Write, local: SocketAddr, peer: SocketAddr) -> Result<()> {
    let page = format!(
        "<!doctype html>\n<title>PrivateLink demo</title>\n<h1>{GREETING}</h1>\n\
         <p>You reached {local}, and look like {peer} from here.</p>\n"
    );
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
         {SEEN_FROM}: {peer}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    stream.write_all(response.as_bytes())?;
    Ok(())
}

fn echo_bytes(mut stream: &TcpStream) -> Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            stream.shutdown(Shutdown::Write)?;
            return Ok(());
        }
        stream.write_all(buffer.get(..length).unwrap_or_default())?;
    }
}

/// A thread that panicked has reported it; its data is still valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Default)]
    struct Writes(Vec<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_page_is_sent_at_once() {
        let mut writes = Writes::default();
        let local = SocketAddr::from(([10, 0, 0, 10], HTTP_PORT));
        let peer = SocketAddr::from(([10, 0, 0, 240], 1024));
        send_page(&mut writes, local, peer).unwrap();
        assert_eq!(writes.0.len(), 1, "{:?}", writes.0);
        assert!(writes.0[0].contains(GREETING));
    }
}
