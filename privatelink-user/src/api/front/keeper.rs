//! The daemon's end: keeps the process running, and gives it its listener and its certificates.
//!
//! Listener and files are opened here, since the process has no rights. The files are read again and
//! again, so that whatever renews a certificate has nobody to notify.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use log::{info, warn};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};

use super::{
    authorities::Authorities,
    channel::{Connected, Credentials, LONGEST, Order, RemoteConnection},
    tls,
};
use crate::{
    framing::{self, FrameReader},
    model::Model,
    state::keys::Holder,
    supervision::keep_working,
};

/// Interval at which the keeper looks after the process and the files.
const LOOK: Duration = Duration::from_secs(1);
/// How long the process may take to read a message.
const PATIENCE: Duration = Duration::from_secs(5);
/// Backlog of connections.
const BACKLOG: i32 = 128;
/// Connections that the server has not accepted yet; more are closed.
const WAITING: usize = 64;
/// The largest file of certificates.
const LARGEST: u64 = 1 << 20;

/// What the process should serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedFront {
    listen: SocketAddr,
    certificate: PathBuf,
    key: PathBuf,
    authorities: Vec<(Holder, PathBuf)>,
}

/// Where what callers send reaches the server on the socket.
#[derive(Clone, Debug)]
pub struct ServerSide {
    /// Connections that the process passes on.
    pub connections: mpsc::Sender<RemoteConnection>,
    /// Who signs client certificates.
    pub authorities: watch::Sender<Authorities>,
}

/// The server's end of that.
#[derive(Debug)]
pub struct Remotes {
    /// Connections from other hosts.
    pub connections: mpsc::Receiver<RemoteConnection>,
    /// Who signs client certificates.
    pub authorities: watch::Receiver<Authorities>,
}

/// Both ends of the way from the process to the server.
pub fn way_to_server() -> (ServerSide, Remotes) {
    let (sender, connections) = mpsc::channel(WAITING);
    let (authorities, followed) = watch::channel(Authorities::default());
    (
        ServerSide { connections: sender, authorities },
        Remotes { connections, authorities: followed },
    )
}

/// Keeps the process running while there is something to serve.
#[derive(Debug)]
pub struct FrontKeeper {
    orders: Sender<Option<WantedFront>>,
    problems: Arc<Mutex<Vec<String>>>,
    last: Option<WantedFront>,
}

impl WantedFront {
    /// What a configuration asks for; `None` is nothing.
    pub fn of(model: &Model) -> Option<Self> {
        let api = model.gateway().api.as_ref()?;
        let own = api.client_ca.iter().map(|file| (Holder::Administrators, file.clone()));
        let others = model
            .principals()
            .values()
            .filter_map(|one| Some((Holder::Principal(one.name.clone()), one.client_ca.clone()?)));
        Some(Self {
            listen: api.listen,
            certificate: api.certificate.clone(),
            key: api.key.clone(),
            authorities: own.chain(others).collect(),
        })
    }
}

impl FrontKeeper {
    /// Starts the thread.
    pub fn start(server: ServerSide) -> Self {
        let (orders, inbox) = channel();
        let problems = Arc::default();
        let mut thread = KeeperThread {
            wanted: None,
            process: None,
            listener: None,
            shown: None,
            server,
            problems: Arc::clone(&problems),
        };
        if let Err(error) = thread::Builder::new().name("front".into()).spawn(move || {
            keep_working("the keeper of the HTTPS listener", || thread.run(&inbox));
        }) {
            warn!("`[api]` is not served: cannot start a thread: {error}");
        }
        Self { orders, problems, last: None }
    }

    /// Sets what is served from now on.
    pub fn want(&mut self, wanted: Option<WantedFront>) {
        if self.last != wanted {
            self.last.clone_from(&wanted);
            // Sending fails only if the thread could not be started, which was logged.
            let _ = self.orders.send(wanted);
        }
    }

    /// What does not work, each with advice.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct KeeperThread {
    wanted: Option<WantedFront>,
    process: Option<Process>,
    listener: Option<(SocketAddr, OwnedFd)>,
    /// What the server and the process have been given.
    shown: Option<Credentials>,
    server: ServerSide,
    problems: Arc<Mutex<Vec<String>>>,
}

/// A running process. It ends when the stream does.
struct Process {
    child: Child,
    stream: UnixStream,
    listens: Option<SocketAddr>,
    shows: Option<Credentials>,
}

impl KeeperThread {
    fn run(&mut self, inbox: &Receiver<Option<WantedFront>>) {
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(wanted) => self.wanted = wanted,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.end();
                    return;
                }
            }
            let problem = self.follow().err();
            let mut known = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(problem) = problem.iter().find(|one| !known.contains(one)) {
                warn!("{problem}");
            }
            *known = problem.into_iter().collect();
        }
    }

    /// Reconciles the process with what is wanted.
    fn follow(&mut self) -> Result<(), String> {
        let Some(wanted) = self.wanted.clone() else {
            self.end();
            return Ok(());
        };
        let exited = self.process.as_mut().is_some_and(Process::has_exited);
        if exited {
            self.process = None;
        }
        // Faulty files leave what is served as it is.
        let read = self.read_files(&wanted);
        let at = wanted.listen;
        if self.listener.as_ref().is_none_or(|(bound, _)| *bound != at) {
            self.listener = None;
            let listener = bind(at).map_err(|error| unbound(at, &error))?;
            self.listener = Some((at, listener));
        }
        let (Some(shown), Some((_, listener))) = (&self.shown, &self.listener) else {
            return read;
        };
        let process = match &mut self.process {
            Some(process) => process,
            None => {
                let started = Process::start(self.server.connections.clone());
                let failed = |error| format!("`[api]` is not served: cannot start it: {error}");
                self.process.insert(started.map_err(failed)?)
            }
        };
        let supplied = process.supply(shown, at, listener);
        if let Err(error) = supplied {
            self.process = None;
            return Err(format!("`[api]` is not served: its process: {error}"));
        }
        read
    }

    /// Reads the files, and lets the server know whose authorities there are.
    fn read_files(&mut self, wanted: &WantedFront) -> Result<(), String> {
        let authorities = wanted.authorities.iter();
        let authorities = authorities.map(|(holder, file)| Ok((holder.clone(), text(file)?)));
        let authorities: Vec<(Holder, String)> = authorities.collect::<Result<_, String>>()?;
        let credentials = Credentials {
            chain: text(&wanted.certificate)?,
            key: text(&wanted.key)?,
            authorities: authorities.iter().map(|(_, text)| text.clone()).collect(),
        };
        if self.shown.as_ref() == Some(&credentials) {
            return Ok(());
        }
        tls::config(&credentials).map_err(|error| {
            format!(
                "`[api]`: {} and {} do not fit: {error}; what was served before still is",
                wanted.certificate.display(),
                wanted.key.display()
            )
        })?;
        let known = authorities.iter().map(|(holder, text)| (holder.clone(), text.as_str()));
        self.server.authorities.send_replace(Authorities::read(known)?);
        if self.shown.is_some() {
            info!("the certificates of `[api]` were read again");
        }
        self.shown = Some(credentials);
        Ok(())
    }

    fn end(&mut self) {
        (self.process, self.listener, self.shown) = (None, None, None);
        self.server.authorities.send_replace(Authorities::default());
    }
}

impl Process {
    fn start(connections: mpsc::Sender<RemoteConnection>) -> io::Result<Self> {
        let (stream, far) = UnixStream::pair()?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // /proc/self/exe is this release, even if the file was replaced by another one.
        let child = Command::new("/proc/self/exe")
            .arg("serve-https")
            .stdin(OwnedFd::from(far))
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        info!("HTTPS is served by process {}", child.id());
        let reader = FrameReader::limited(stream.try_clone()?, LONGEST);
        thread::Builder::new()
            .name("callers".into())
            .spawn(move || receive(reader, &connections))?;
        Ok(Self { child, stream, listens: None, shows: None })
    }

    fn has_exited(&mut self) -> bool {
        let status = self.child.try_wait().ok().flatten();
        if let Some(status) = status {
            warn!("the process that serves HTTPS has exited: {status}; starting another");
        }
        status.is_some()
    }

    /// Sends what has changed.
    fn supply(
        &mut self,
        shown: &Credentials,
        at: SocketAddr,
        listener: &OwnedFd,
    ) -> io::Result<()> {
        if self.shows.as_ref() != Some(shown) {
            framing::send(&self.stream, &Order::Show(Box::new(shown.clone())), &[])?;
            self.shows = Some(shown.clone());
        }
        if self.listens != Some(at) {
            framing::send(&self.stream, &Order::Listen, &[listener.as_fd()])?;
            self.listens = Some(at);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes connections on to the server. What makes no sense ends the process: it is not itself.
fn receive(mut reader: FrameReader, connections: &mpsc::Sender<RemoteConnection>) {
    loop {
        let connected: Connected = match reader.receive() {
            Ok(Some(connected)) => connected,
            Ok(None) => return,
            Err(error) => {
                warn!("invalid message from the process that serves HTTPS: {error}");
                let _ = reader.stream().shutdown(std::net::Shutdown::Both);
                return;
            }
        };
        let Some(stream) = reader.sockets(1).pop().map(UnixStream::from) else { continue };
        // A busy server closes connections instead of holding up this thread.
        if let Some(connection) = connected.with(stream) {
            let _ = connections.try_send(connection);
        }
    }
}

fn bind(at: SocketAddr) -> io::Result<OwnedFd> {
    let listener =
        Socket::new(Domain::for_address(at), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if at.is_ipv6() {
        listener.set_only_v6(true)?;
    }
    listener.set_reuse_address(true)?;
    listener.bind(&at.into())?;
    listener.listen(BACKLOG)?;
    Ok(listener.into())
}

fn unbound(at: SocketAddr, error: &io::Error) -> String {
    let help = if error.kind() == io::ErrorKind::AddrInUse {
        "another program uses this port"
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        "this host does not have that address"
    } else {
        "see `listen` in `[api]`"
    };
    format!("`[api]` is not served at {at}: {error}; {help}")
}

fn text(file: &Path) -> Result<String, String> {
    let failed =
        |error: &dyn std::fmt::Display| format!("`[api]`: cannot read {}: {error}", file.display());
    let size = fs::metadata(file).map_err(|error| failed(&error))?.len();
    if size > LARGEST {
        return Err(failed(&"it is too large"));
    }
    fs::read_to_string(file).map_err(|error| failed(&error))
}
