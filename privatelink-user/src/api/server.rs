//! The daemon's end of the socket.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt as _, net::UnixStream as BlockingStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::server::conn::http1;
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

use super::{request::Request, routes};

/// What clients may take of the daemon.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at a time; others wait until one of them ends.
    connections: usize,
    /// How long a client may take for the head of a request, also of the next one.
    head: Duration,
    /// How long a client may leave an answer unread.
    unread: Duration,
}

const LIMITS: Limits =
    Limits { connections: 64, head: Duration::from_secs(10), unread: Duration::from_secs(30) };

/// The wait after the socket has refused a connection, for want of descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may speak to the daemon: its user, and the group that the directory's owner chose.
const MODE: u32 = 0o660;

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("another privatelink answers on {}: stop it, or give this one another socket", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
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
pub fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    if BlockingStream::connect(path).is_ok() {
        return Err(SocketError::Taken { path: path.to_owned() });
    }
    bind(path).map_err(|source| SocketError::Listen { path: path.to_owned(), source })
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Answers requests until `end` resolves, and finishes those that it has begun.
pub async fn serve(
    listener: UnixListener,
    requests: mpsc::Sender<Request>,
    end: oneshot::Receiver<()>,
) {
    serve_within(LIMITS, listener, requests, end).await;
}

async fn serve_within(
    limits: Limits,
    listener: UnixListener,
    requests: mpsc::Sender<Request>,
    end: oneshot::Receiver<()>,
) {
    let service = TowerToHyperService::new(routes::router(requests));
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
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
        let stream = TokioIo::new(Box::pin(impatient(stream, limits.unread)));
        let connection = connections.watch(http.serve_connection(stream, service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a client of the control socket: {error}");
            }
            drop(place);
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
