//! The daemon's end of the socket.

use std::{
    fs, io,
    os::unix::{
        self,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use log::{debug, warn};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot, watch},
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;

use super::{
    doorkeeper::{Doorkeeper, Limits, Visit},
    front::{channel::RemoteConnection, keeper::Remotes},
    request::Call,
    routes,
};
use crate::{
    access::{Administrators, Register},
    audit::Audit,
    model::Model,
};

/// How long clients may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// To send the head of a request, also of the next one.
    head: Duration,
    /// To read an answer.
    unread: Duration,
}

const PATIENCE: Patience =
    Patience { head: Duration::from_secs(10), unread: Duration::from_secs(30) };

/// Bytes of a connection that wait to be looked at; the head of a request must fit.
const BUFFER: usize = 64 << 10;

/// The pause after `accept` has failed, because the process has no file descriptors left, say.
const PAUSE: Duration = Duration::from_millis(100);

/// The mode of a socket to which only administrators may connect.
const CLOSED: u32 = 0o660;
/// The mode of a socket to which every user may connect; the daemon refuses those without rights.
const OPEN: u32 = 0o666;

/// Which unix users can connect to the control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// The group whose members administer; `None` is the one that new files get.
    pub group: Option<String>,
    /// Whether all other users can, too: a principal names some of them.
    pub open: bool,
}

impl Door {
    /// The users that a configuration needs to let in.
    pub fn of(model: &Model) -> Self {
        let mut principals = model.principals().values();
        let open = principals.any(|one| !one.users.is_empty() || !one.groups.is_empty());
        Self { group: model.gateway().group.clone(), open }
    }
}

/// Why the control socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon listens on it.
    #[error("another daemon listens on {}: stop it, or choose another socket", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The configuration's `group` does not exist.
    #[error(
        "there is no unix group `{name}` on this host: create it with `groupadd --system {name}`, \
         or change `group`"
    )]
    Group {
        /// The group.
        name: String,
    },
    /// The socket cannot be created.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Creates the control socket, in place of one that no daemon listens on any more.
///
/// # Errors
/// When another daemon listens on it, the group does not exist, or the file system refuses.
pub fn listen(path: &Path, door: &Door) -> Result<UnixListener, SocketError> {
    if unix::net::UnixStream::connect(path).is_ok() {
        return Err(SocketError::Taken { path: path.to_owned() });
    }
    let group = door.group.as_ref().map(|name| group(name)).transpose()?;
    let fail = |source| SocketError::Listen { path: path.to_owned(), source };
    let listener = bind(path).map_err(fail)?;
    unix::fs::chown(path, None, group).map_err(fail)?;
    open(path, door.open).map_err(fail)?;
    Ok(listener)
}

/// Lets every user connect, or administrators only.
///
/// # Errors
/// When the file system refuses.
pub fn open(path: &Path, everybody: bool) -> io::Result<()> {
    let mode = if everybody { OPEN } else { CLOSED };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Who administers the gateway: the daemon's user, and the group that owns the socket.
///
/// # Errors
/// When the socket has been removed.
pub fn administrators(path: &Path) -> Result<Administrators, SocketError> {
    let fail = |source| SocketError::Listen { path: path.to_owned(), source };
    let gid = fs::metadata(path).map_err(fail)?.gid();
    Ok(Administrators { uid: nix::unistd::geteuid().as_raw(), gid })
}

fn group(name: &str) -> Result<u32, SocketError> {
    let found = nix::unistd::Group::from_name(name).ok().flatten();
    found
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| SocketError::Group { name: name.to_owned() })
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    // No other user may connect before group and mode are set.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers requests of those in the register until `end` resolves, and then finishes those that it
/// has begun.
pub async fn serve(
    listener: UnixListener,
    remotes: Remotes,
    requests: mpsc::Sender<Call>,
    (register, audit): (watch::Receiver<Register>, Audit),
    end: oneshot::Receiver<()>,
) {
    let doorkeeper = Doorkeeper::new(Limits::DEFAULT, register, audit);
    serve_within(PATIENCE, doorkeeper, (listener, remotes), requests, end).await;
}

async fn serve_within(
    patience: Patience,
    doorkeeper: Doorkeeper,
    (listener, mut remotes): (UnixListener, Remotes),
    requests: mpsc::Sender<Call>,
    end: oneshot::Receiver<()>,
) {
    let router = TowerToHyperService::new(routes::router(requests, doorkeeper.clone()));
    let connections = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience.head).max_buf_size(BUFFER);
    // The sender is dropped if the daemon fails, and that ends the server, too.
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = tokio::select! {
            _ = &mut end => break,
            // Whoever occupies its share already finds the door closed, and costs nothing more.
            accepted = accept(&listener) => accepted.and_then(|stream| {
                Some((doorkeeper.note(stream.peer_cred().ok())?, stream))
            }),
            Some(remote) = remotes.connections.recv() => {
                let visit = doorkeeper.note_remote(&remote, &remotes.authorities);
                visit.and_then(|visit| Some((visit, passed_on(remote)?)))
            }
        };
        let Some((visit, stream)) = accepted else { continue };
        let (http, router) = (http.clone(), router.clone());
        let (watcher, doorkeeper) = (connections.watcher(), doorkeeper.clone());
        tokio::spawn(async move {
            let Some(_place) = doorkeeper.place(&visit).await else { return };
            let stream = TokioIo::new(Box::pin(impatient(stream, patience.unread)));
            let service = service_fn(move |mut request: hyper::Request<Incoming>| {
                identify(&visit, &mut request);
                router.call(request)
            });
            if let Err(error) = watcher.watch(http.serve_connection(stream, service)).await {
                debug!("a connection to the control socket failed: {error}");
            }
        });
    }
    drop(listener);
    doorkeeper.close();
    connections.shutdown().await;
}

/// Waits for a connection; `None` if it failed.
async fn accept(listener: &UnixListener) -> Option<UnixStream> {
    match listener.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(error) => {
            warn!("cannot accept a connection on the control socket: {error}");
            sleep(PAUSE).await;
            None
        }
    }
}

/// The stream of a connection from another host.
fn passed_on(remote: RemoteConnection) -> Option<UnixStream> {
    remote.stream.set_nonblocking(true).ok()?;
    UnixStream::from_std(remote.stream).ok()
}

/// Adds to a request who sent it.
fn identify(visit: &Visit, request: &mut hyper::Request<Incoming>) {
    if let Some(credentials) = visit.credentials() {
        request.extensions_mut().insert(credentials);
    }
    if let Some(remote) = visit.remote() {
        request.extensions_mut().insert(remote);
    }
    if let Some(visitor) = visit.visitor() {
        request.extensions_mut().insert(visitor);
    }
}

/// A stream that fails once the client has left an answer unread for so long.
fn impatient(stream: UnixStream, unread: Duration) -> TimeoutStream<UnixStream> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(unread));
    stream
}

#[cfg(test)]
mod tests;
