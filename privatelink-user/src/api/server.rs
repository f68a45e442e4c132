//! The daemon's end of the socket.
//!
//! Handlers know nothing: each request goes to the daemon's loop, which owns all state, and its
//! answer comes back. So no answer shows a change half made, and nothing needs a lock.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use tokio::{
    net::UnixListener,
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    path,
    types::{Endpoint, Flow, FlowQuery, Problem, Status},
};

/// Longer than the loop is ever busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// No request has a body of note.
const MAX_BODY: usize = 64 * 1024;

/// Who may speak to the daemon: its user, and the group that the directory's owner chose.
const MODE: u32 = 0o660;

/// A question to the daemon, and where its answer goes.
#[derive(Debug)]
pub enum Request {
    /// What is the gateway doing?
    Status(Reply<Status>),
    /// Which flows are there?
    Flows(FlowQuery, Reply<Vec<Flow>>),
    /// Which endpoints are there?
    Endpoints(Reply<Vec<Endpoint>>),
    /// Stop forwarding, and end.
    Down(Reply<()>),
}

/// Where an answer goes: what was asked for, or why it cannot be had.
pub type Reply<T> = oneshot::Sender<Result<T, String>>;

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
    if UnixStream::connect(path).is_ok() {
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
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: UnixListener,
    requests: mpsc::Sender<Request>,
    end: oneshot::Receiver<()>,
) -> io::Result<()> {
    let router = Router::new()
        .route(path::STATUS, get(status))
        .route(path::FLOWS, get(flows))
        .route(path::ENDPOINTS, get(endpoints))
        .route(path::DOWN, post(down))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(requests);
    let end = async {
        // A daemon that is gone without a word ends its server, too.
        let _ = end.await;
    };
    axum::serve(listener, router).with_graceful_shutdown(end).await
}

type Requests = State<mpsc::Sender<Request>>;

async fn status(State(requests): Requests) -> Response {
    ask(&requests, Request::Status).await
}

async fn flows(State(requests): Requests, Query(query): Query<FlowQuery>) -> Response {
    ask(&requests, |reply| Request::Flows(query, reply)).await
}

async fn endpoints(State(requests): Requests) -> Response {
    ask(&requests, Request::Endpoints).await
}

async fn down(State(requests): Requests) -> Response {
    ask(&requests, Request::Down).await
}

async fn unknown() -> Response {
    problem(StatusCode::NOT_FOUND, "there is nothing under this path".into())
}

async fn ask<T: Serialize>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(Reply<T>) -> Request,
) -> Response {
    let (reply, answer) = oneshot::channel();
    let exchange = async {
        requests.send(request(reply)).await.ok()?;
        answer.await.ok()
    };
    match timeout(PATIENCE, exchange).await {
        Ok(Some(Ok(answer))) => Json(answer).into_response(),
        Ok(Some(Err(error))) => problem(StatusCode::CONFLICT, error),
        Ok(None) => problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is ending".into()),
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy".into()),
    }
}

fn problem(code: StatusCode, error: String) -> Response {
    (code, Json(Problem { error })).into_response()
}
