//! The daemon's end of the socket.

use std::{
    fs, io,
    os::unix::{
        self,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
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
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;

use super::{peer::Credentials, request::Call, routes};
use crate::{access::Administrators, model::Model};

/// How much of the daemon clients may occupy.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at a time; more wait until one of them ends.
    connections: usize,
    /// How many of these may belong to users other than root and the daemon's own; more are closed.
    of_others: usize,
    /// How long a client may take to send the head of a request, also of the next one.
    head: Duration,
    /// How long a client may leave an answer unread.
    unread: Duration,
}

const LIMITS: Limits = Limits {
    connections: 64,
    of_others: 48,
    head: Duration::from_secs(10),
    unread: Duration::from_secs(30),
};

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

/// Answers requests until `end` resolves, and then finishes those that it has begun.
pub async fn serve(
    listener: UnixListener,
    requests: mpsc::Sender<Call>,
    end: oneshot::Receiver<()>,
) {
    serve_within(LIMITS, listener, requests, end).await;
}

async fn serve_within(
    limits: Limits,
    listener: UnixListener,
    requests: mpsc::Sender<Call>,
    end: oneshot::Receiver<()>,
) {
    let router = TowerToHyperService::new(routes::router(requests));
    let connections = GracefulShutdown::new();
    let doorkeeper = Doorkeeper::new(limits);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head);
    // The sender is dropped if the daemon fails, and that ends the server, too.
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = tokio::select! {
            _ = &mut end => break,
            accepted = doorkeeper.accept(&listener) => accepted,
        };
        let Some(Guest { stream, credentials, permits }) = accepted else { continue };
        let router = router.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            if let Some(credentials) = credentials {
                request.extensions_mut().insert(credentials);
            }
            router.call(request)
        });
        let stream = TokioIo::new(Box::pin(impatient(stream, limits.unread)));
        let connection = connections.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection to the control socket failed: {error}");
            }
            drop(permits);
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// Keeps the number of connections within limits.
struct Doorkeeper {
    all: Arc<Semaphore>,
    of_others: Arc<Semaphore>,
}

/// A connection that has been let in.
struct Guest {
    stream: UnixStream,
    /// Absent if the kernel does not say.
    credentials: Option<Credentials>,
    /// Held until the connection ends.
    permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Doorkeeper {
    fn new(limits: Limits) -> Self {
        let of_others = Arc::new(Semaphore::new(limits.of_others));
        Self { all: Arc::new(Semaphore::new(limits.connections)), of_others }
    }

    /// Waits for a connection; `None` if it failed, or is one too many and has been closed.
    async fn accept(&self, listener: &UnixListener) -> Option<Guest> {
        let permit = Arc::clone(&self.all).acquire_owned().await.ok();
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("cannot accept a connection on the control socket: {error}");
                sleep(PAUSE).await;
                return None;
            }
        };
        let credentials = stream.peer_cred().map(Credentials::from).ok();
        // A user who may connect could open all connections: that must not keep the owners out.
        let is_owner = credentials.is_some_and(Credentials::is_owner);
        let permit_of_others = if is_owner {
            None
        } else {
            Some(Arc::clone(&self.of_others).try_acquire_owned().ok()?)
        };
        Some(Guest { stream, credentials, permits: [permit, permit_of_others] })
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
