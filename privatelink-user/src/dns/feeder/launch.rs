//! Finding a server, or starting one.

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

use crate::dns::{
    channel::{self, FrameReader, Greeting, ListenAddress, MOST_SOCKETS, Order, ServerReport},
    record::ServedNames,
};

/// How long a server may take to read what it is told, and to say something at first.
const PATIENCE: Duration = Duration::from_secs(5);
/// Daemons that wait for the server at a time.
const BACKLOG: i32 = 4;

/// A server, and what it knows.
#[derive(Debug)]
pub struct ServerConnection {
    receiver: FrameReader,
    greeting: Greeting,
    /// What each network is served, as far as it was told over this connection.
    pub told: BTreeMap<String, ServedNames>,
    /// The networks of which it knows something.
    pub networks: BTreeSet<String>,
    /// Where it serves.
    pub listen_addresses: BTreeSet<ListenAddress>,
    /// How many sockets of datagrams it takes for each listen address.
    pub workers: usize,
}

/// Where the server of the daemon with this control socket waits for it.
pub fn socket_path(control: &Path) -> PathBuf {
    let mut path = control.as_os_str().to_owned();
    path.push(".dns");
    path.into()
}

/// The server that waits, or a new one.
pub fn server(socket: &Path, child: &mut Option<Child>) -> io::Result<ServerConnection> {
    if let Ok(found) = ServerConnection::open(socket) {
        if found.greeting.version == env!("CARGO_PKG_VERSION") {
            return Ok(found);
        }
        info!("the name server is of release {}: it is exchanged", found.greeting.version);
        found.dismiss(PATIENCE);
        // A service manager that has the socket starts the new one.
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
    // Nobody can connect before it listens.
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    listener.listen(BACKLOG)?;
    // Also after the file has been replaced by another release, this one is of this release.
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
    /// Connects to the server that waits.
    ///
    /// # Errors
    /// When none does, or it says nothing.
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut receiver = FrameReader::new(stream);
        let greeting: Greeting = receiver.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let (listen_addresses, networks) = (&greeting.listen_addresses, &greeting.networks);
        Ok(Self {
            told: BTreeMap::new(),
            networks: networks.iter().cloned().collect(),
            listen_addresses: listen_addresses.iter().cloned().collect(),
            workers: greeting.workers.clamp(1, MOST_SOCKETS - 1),
            receiver,
            greeting,
        })
    }

    /// The stream to it.
    pub fn stream(&self) -> &UnixStream {
        self.receiver.stream()
    }

    /// Tells it something.
    ///
    /// # Errors
    /// When it is gone, or does not read.
    pub fn tell(&self, order: &Order) -> io::Result<()> {
        channel::send(self.stream(), order, &[])
    }

    /// Asks what is not served for want of a proof.
    ///
    /// # Errors
    /// When it is gone, or says nothing.
    pub fn report(&mut self) -> io::Result<ServerReport> {
        self.tell(&Order::Report)?;
        Ok(self.receiver.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?)
    }

    /// Whether it has closed its end.
    pub fn is_gone(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        match SockRef::from(self.stream()).recv_with_flags(&mut byte, flags) {
            // It has nothing more to say.
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Ends it, and waits for that.
    pub fn dismiss(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        if self.tell(&Order::Leave).is_err() {
            return;
        }
        while !self.is_gone() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
