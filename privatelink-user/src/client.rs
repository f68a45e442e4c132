//! The command line's end of the socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty};
use hyper::{Method, Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, time::timeout};

use crate::api::types::Problem;

/// Longer than the daemon's own patience, so that its word is heard.
const PATIENCE: Duration = Duration::from_secs(35);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error(
        "no daemon listens on {}: start one with `privatelink run`, or name its socket with \
         --socket",
        socket.display()
    )]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket cannot be used.
    #[error("cannot speak to the daemon on {}{}", socket.display(), hint(source))]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("the daemon broke off the conversation")]
    Broken(#[from] hyper::Error),
    /// The daemon takes too long.
    #[error("the daemon did not answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    /// The daemon said no.
    #[error("{0}")]
    Refused(String),
    /// The daemon said something else.
    #[error("the daemon's answer is not understood: is it of another release?")]
    Foreign(#[from] serde_json::Error),
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        ": you must be root or in the socket's group"
    } else {
        ""
    }
}

/// Asks for what is under `path`.
///
/// # Errors
/// When there is no daemon, or it has no such answer.
pub fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, Error> {
    exchange(socket, Method::GET, path)
}

/// Has the daemon do what `path` stands for.
///
/// # Errors
/// When there is no daemon, or it does not do it.
pub fn post<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, Error> {
    exchange(socket, Method::POST, path)
}

fn exchange<T: DeserializeOwned>(socket: &Path, method: Method, path: &str) -> Result<T, Error> {
    let connect = |source| Error::Connect { socket: socket.to_owned(), source };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(connect)?;
    let (good, body) = runtime.block_on(async {
        let exchange = timeout(PATIENCE, send(socket, method, path)).await;
        exchange.unwrap_or(Err(Error::Silent))
    })?;
    if good {
        return Ok(serde_json::from_slice(&body)?);
    }
    let problem: Problem = serde_json::from_slice(&body)?;
    Err(Error::Refused(problem.error))
}

async fn send(socket: &Path, method: Method, path: &str) -> Result<(bool, Bytes), Error> {
    let stream = UnixStream::connect(socket).await.map_err(|source| {
        let socket = socket.to_owned();
        let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        if nobody.contains(&source.kind()) {
            Error::NotRunning { socket }
        } else {
            Error::Connect { socket, source }
        }
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|_| Error::Refused(format!("no path `{path}`")))?;
    request.headers_mut().insert(HOST, hyper::header::HeaderValue::from_static("privatelink"));
    let response = sender.send_request(request).await?;
    let good = response.status().is_success();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((good, body))
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::api::{path, server, types};

    #[test]
    fn nobody_there_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let error = get::<types::Status>(&socket, path::STATUS).unwrap_err();
        assert!(matches!(error, Error::NotRunning { .. }), "{error}");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let error = get::<types::Status>(&socket, path::STATUS).unwrap_err();
        assert!(matches!(error, Error::NotRunning { .. }), "{error}");
    }

    #[test]
    fn answers_and_refusals_come_through() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (requests, mut asked) = mpsc::channel(1);
        let (_end, ended) = oneshot::channel();
        runtime.block_on(async {
            let listener = server::listen(&socket).unwrap();
            tokio::spawn(server::serve(listener, requests, ended));
        });
        runtime.spawn(async move {
            while let Some(request) = asked.recv().await {
                match request {
                    server::Request::Endpoints(reply) => drop(reply.send(Ok(Vec::new()))),
                    server::Request::Down(reply) => drop(reply.send(Err("not now".into()))),
                    server::Request::Flows(query, reply) => {
                        assert_eq!(query.endpoint.as_deref(), Some("a"));
                        drop(reply);
                    }
                    server::Request::Status(reply) => drop(reply),
                }
            }
        });
        let endpoints: Vec<types::Endpoint> = get(&socket, path::ENDPOINTS).unwrap();
        assert_eq!(endpoints, []);
        let error = post::<()>(&socket, path::DOWN).unwrap_err();
        assert_eq!(error.to_string(), "not now");
        let error = get::<Vec<types::Flow>>(&socket, "/v1/flows?endpoint=a").unwrap_err();
        assert_eq!(error.to_string(), "the daemon is ending");
        let error = get::<()>(&socket, "/v1/nothing").unwrap_err();
        assert_eq!(error.to_string(), "there is nothing under this path");
        let taken = runtime.block_on(async { server::listen(&socket).map(drop) });
        assert!(matches!(taken, Err(server::SocketError::Taken { .. })));
    }
}
