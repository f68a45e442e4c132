//! Finds a running name server, or starts one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use log::info;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::{
    dns::{
        channel::{Greeting, ListenAddress, Order, ServerReport},
        record::ServedNames,
    },
    framing::{self, FrameReader, MOST_SOCKETS},
};

/// Timeout for the server to read a request or send its greeting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Backlog of the server's socket.
const BACKLOG: i32 = 4;

/// A connection to the name server, with what the server has.
#[derive(Debug)]
pub struct ServerConnection {
    receiver: FrameReader,
    greeting: Greeting,
    /// Names sent over this connection, by network.
    pub sent: BTreeMap<String, ServedNames>,
    /// The networks whose names the server has.
    pub networks: BTreeSet<String>,
    /// The addresses that it listens on.
    pub listen_addresses: BTreeSet<ListenAddress>,
    /// Number of UDP sockets that it takes for each listen address.
    pub workers: usize,
}

/// Path of the name server's socket, next to the daemon's control socket.
pub fn socket_path(control: &Path) -> PathBuf {
    let mut path = control.as_os_str().to_owned();
    path.push(".dns");
    path.into()
}

/// Connects to the running server, or starts one.
pub fn server(socket: &Path, child: &mut Option<Child>) -> io::Result<ServerConnection> {
    if let Ok(found) = ServerConnection::open(socket) {
        if found.greeting.version == env!("CARGO_PKG_VERSION") {
            return Ok(found);
        }
        info!("replacing name server release {}", found.greeting.version);
        found.dismiss(PATIENCE);
        // A service manager that holds the socket has started the new one.
        if let Ok(found) = ServerConnection::open(socket) {
            return Ok(found);
        }
    }
    start(socket, child)?;
    ServerConnection::open(socket)
}

fn start(socket: &Path, child: &mut Option<Child>) -> io::Result<()> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    listener.bind(&SockAddr::unix(socket)?)?;
    // Set before `listen`, so that no client can connect earlier.
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    listener.listen(BACKLOG)?;
    // /proc/self/exe is this release, even if the file was replaced by another one.
    let started = Command::new("/proc/self/exe")
        .args(["dns", "serve"])
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()?;
    info!("the name server is process {}", started.id());
    *child = Some(started);
    Ok(())
}

impl ServerConnection {
    /// Connects to the running server.
    ///
    /// # Errors
    /// When no server listens, or it sends no greeting.
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut receiver = FrameReader::new(stream);
        let greeting: Greeting = receiver.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let (listen_addresses, networks) = (&greeting.listen_addresses, &greeting.networks);
        Ok(Self {
            sent: BTreeMap::new(),
            networks: networks.iter().cloned().collect(),
            listen_addresses: listen_addresses.iter().cloned().collect(),
            workers: greeting.workers.clamp(1, MOST_SOCKETS - 1),
            receiver,
            greeting,
        })
    }

    /// The stream to the server.
    pub fn stream(&self) -> &UnixStream {
        self.receiver.stream()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the server has exited or does not read.
    pub fn send(&self, order: &Order) -> io::Result<()> {
        framing::send(self.stream(), order, &[])
    }

    /// Requests a report.
    ///
    /// # Errors
    /// When the server has exited or does not answer.
    pub fn report(&mut self) -> io::Result<ServerReport> {
        self.send(&Order::Report)?;
        Ok(self.receiver.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?)
    }

    /// Whether the server has closed the stream.
    pub fn is_gone(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        match SockRef::from(self.stream()).recv_with_flags(&mut byte, flags) {
            // It sends nothing unrequested, so this is the end of the stream.
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Ends the server and waits until it has exited, at most for `patience`.
    pub fn dismiss(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        if self.send(&Order::Leave).is_err() {
            return;
        }
        while !self.is_gone() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
