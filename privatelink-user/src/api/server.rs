//! The daemon's end of the socket.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixStream as BlockingStream,
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
    sync::{Semaphore, mpsc, oneshot},
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;

use super::{peer::Credentials, request::Question, routes};
use crate::{access::Administrators, model::Model};

/// What clients may take of the daemon.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at a time; others wait until one of them ends.
    connections: usize,
    /// Of these, how many may be of others than root and the daemon's own user; more are closed.
    others: usize,
    /// How long a client may take for the head of a request, also of the next one.
    head: Duration,
    /// How long a client may leave an answer unread.
    unread: Duration,
}

const LIMITS: Limits = Limits {
    connections: 64,
    others: 48,
    head: Duration::from_secs(10),
    unread: Duration::from_secs(30),
};

/// The wait after the socket has refused a connection, for want of descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);

/// Only administrators may speak to the daemon.
const CLOSED: u32 = 0o660;
/// Everybody may, and the daemon refuses those without rights.
const OPEN: u32 = 0o666;

/// Who can reach the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// The group whose members administer; `None` is the one that new files get.
    pub group: Option<String>,
    /// Whether others can, too: those who act for a principal.
    pub open: bool,
}

impl Door {
    /// What a configuration asks for.
    pub fn of(model: &Model) -> Self {
        let mut principals = model.principals().values();
        let open = principals.any(|one| !one.users.is_empty() || !one.groups.is_empty());
        Self { group: model.gateway().group.clone(), open }
    }
}

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("another privatelink answers on {}: stop it, or give this one another socket", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The group that is to administer is not there.
    #[error(
        "there is no unix group `{name}` on this host: create it with `groupadd --system {name}`, \
         or change `group`"
    )]
    Group {
        /// Its name.
        name: String,
    },
    /// The socket cannot be made.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes the socket, in place of one that nobody listens on.
///
/// # Errors
/// When somebody does, or the file system refuses.
pub fn listen(path: &Path, door: &Door) -> Result<UnixListener, SocketError> {
    if BlockingStream::connect(path).is_ok() {
        return Err(SocketError::Taken { path: path.to_owned() });
    }
    let group = door.group.as_ref().map(|name| group(name)).transpose()?;
    let fail = |source| SocketError::Listen { path: path.to_owned(), source };
    let listener = bind(path).map_err(fail)?;
    std::os::unix::fs::chown(path, None, group).map_err(fail)?;
    open(path, door.open).map_err(fail)?;
    Ok(listener)
}

/// Lets everybody speak to the daemon, or administrators only.
///
/// # Errors
/// When the file system refuses.
pub fn open(path: &Path, everybody: bool) -> io::Result<()> {
    let mode = if everybody { OPEN } else { CLOSED };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Who administers a gateway with this socket.
///
/// # Errors
/// When the socket is gone.
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
    // Until it is known who may, nobody else may.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers requests until `end` resolves, and finishes those that it has begun.
pub async fn serve(
    listener: UnixListener,
    requests: mpsc::Sender<Question>,
    end: oneshot::Receiver<()>,
) {
    serve_within(LIMITS, listener, requests, end).await;
}

async fn serve_within(
    limits: Limits,
    listener: UnixListener,
    requests: mpsc::Sender<Question>,
    end: oneshot::Receiver<()>,
) {
    let router = TowerToHyperService::new(routes::router(requests));
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let others = Arc::new(Semaphore::new(limits.others));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head);
    // A daemon that is gone without a word ends its server, too.
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            _ = &mut end => break,
            accepted = accepted => accepted,
        };
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("cannot take a connection on the control socket: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let credentials = stream.peer_cred().map(Credentials::from);
        // Whoever can open the socket could fill it: that must not keep its owners out.
        let owner = credentials.as_ref().is_ok_and(|credentials| credentials.is_owner());
        let one_of_others =
            if owner { None } else { Some(Arc::clone(&others).try_acquire_owned()) };
        let Ok(one_of_others) = one_of_others.transpose() else { continue };
        let router = router.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            if let Ok(credentials) = credentials {
                request.extensions_mut().insert(credentials);
            }
            router.call(request)
        });
        let stream = TokioIo::new(Box::pin(impatient(stream, limits.unread)));
        let connection = connections.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a client of the control socket: {error}");
            }
            drop((place, one_of_others));
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// The stream, given up once the client leaves an answer unread.
fn impatient(stream: UnixStream, unread: Duration) -> TimeoutStream<UnixStream> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(unread));
    stream
}

#[cfg(test)]
mod tests;
