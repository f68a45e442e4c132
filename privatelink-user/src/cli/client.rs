//! The command line's end of the socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use crate::{
    api::OMITTED,
    interface::types::{Flow, Problem},
};

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
    /// The daemon has nothing more to tell.
    #[error("the daemon has ended, or you have no rights any more")]
    Ended,
    /// What it told cannot be handed on.
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    /// The daemon finds a configuration faulty.
    #[error("{}", .0.error.trim_end())]
    Faulty(Problem),
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
    Ok(serde_json::from_slice(&exchange(socket, Method::GET, path, None)?.body)?)
}

/// Asks for some of the flows; returns also how many there are besides them.
///
/// # Errors
/// As [`get`].
pub fn flows(socket: &Path, path: &str) -> Result<(Vec<Flow>, u64), Error> {
    let mut body = Vec::new();
    let omitted = copy(socket, path, &mut body)?;
    Ok((serde_json::from_slice(&body)?, omitted))
}

/// Hands on what is under `path` as it comes, however long that takes; returns how much is not in
/// it.
///
/// # Errors
/// When there is no daemon, when it has no such answer, or when it cannot be written.
pub fn copy(socket: &Path, path: &str, out: &mut impl io::Write) -> Result<u64, Error> {
    runtime(socket)?.block_on(async {
        let mut response = begun(socket, path).await?;
        let omitted = omitted(&response);
        while let Some(frame) = response.body_mut().frame().await {
            let part = frame?.into_data().unwrap_or_default();
            out.write_all(&part).map_err(Error::Output)?;
        }
        Ok(omitted)
    })
}

/// The head of an answer that is not a refusal.
async fn begun(socket: &Path, path: &str) -> Result<Response<Incoming>, Error> {
    let begun = timeout(PATIENCE, begin(socket, Method::GET, path, None)).await;
    let response = begun.unwrap_or(Err(Error::Silent))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let code = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Err(refused(code, &body)?)
}

fn omitted(response: &Response<Incoming>) -> u64 {
    let omitted = response.headers().get(OMITTED).and_then(|value| value.to_str().ok());
    omitted.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Hands on what is told under `path`, one thing after the other, until the daemon ends.
///
/// # Errors
/// When there is no daemon, when it ends, or when `each` fails.
pub fn follow<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    mut each: impl FnMut(T) -> io::Result<()>,
) -> Result<(), Error> {
    let runtime = runtime(socket)?;
    runtime.block_on(async {
        let mut body = begun(socket, path).await?.into_body();
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            rest.extend(frame?.into_data().unwrap_or_default());
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if line.len() > 1 {
                    each(serde_json::from_slice(&line)?).map_err(Error::Output)?;
                }
            }
        }
        Err(Error::Ended)
    })
}

/// Has the daemon do what `path` stands for.
///
/// # Errors
/// When there is no daemon, or it does not do it.
pub fn post<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, Error> {
    Ok(serde_json::from_slice(&exchange(socket, Method::POST, path, None)?.body)?)
}

/// Has the daemon do what `path` stands for with `body`.
///
/// # Errors
/// As [`post`].
pub fn send<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Error> {
    let body = serde_json::to_vec(body)?;
    Ok(serde_json::from_slice(&exchange(socket, Method::POST, path, Some(body))?.body)?)
}

/// What the daemon answered.
struct Answer {
    code: StatusCode,
    body: Bytes,
}

fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<Answer, Error> {
    let runtime = runtime(socket)?;
    let answer = runtime.block_on(async {
        let exchange = timeout(PATIENCE, converse(socket, method, path, body)).await;
        exchange.unwrap_or(Err(Error::Silent))
    })?;
    if answer.code.is_success() {
        return Ok(answer);
    }
    Err(refused(answer.code, &answer.body)?)
}

fn runtime(socket: &Path) -> Result<tokio::runtime::Runtime, Error> {
    let connect = |source| Error::Connect { socket: socket.to_owned(), source };
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(connect)
}

/// Why an answer is none.
fn refused(code: StatusCode, body: &[u8]) -> Result<Error, Error> {
    let problem: Problem = serde_json::from_slice(body)?;
    Ok(if code == StatusCode::UNPROCESSABLE_ENTITY {
        Error::Faulty(problem)
    } else {
        Error::Refused(problem.error)
    })
}

async fn converse(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<Answer, Error> {
    let response = begin(socket, method, path, body).await?;
    let code = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer { code, body })
}

/// Sends a request, and returns the answer as it begins.
async fn begin(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<Response<Incoming>, Error> {
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
    tokio::spawn(connection);
    let is_json = body.is_some();
    let mut request = Request::new(Full::<Bytes>::from(body.unwrap_or_default()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|_| Error::Refused(format!("no path `{path}`")))?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("privatelink"));
    if is_json {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
    }
    Ok(sender.send_request(request).await?)
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::{
        api::{
            request::{Refused, Request as Asked},
            server,
        },
        interface::{path, types},
    };

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
            let listener = server::listen(&socket, &server::Door::default()).unwrap();
            tokio::spawn(server::serve(listener, requests, ended));
        });
        runtime.spawn(async move {
            while let Some(question) = asked.recv().await {
                let request = question.request;
                if let Asked::Endpoints(reply) = request {
                    drop(reply.send(Ok(Vec::new())));
                } else if let Asked::Down(reply) = request {
                    drop(reply.send(Err(Refused::Failed("not now".into()))));
                } else if let Asked::Flows(query, _, reply) = request {
                    assert_eq!(query.endpoint.as_deref(), Some("a"));
                    drop(reply);
                } else if let Asked::Plan(configuration, reply) = request {
                    let faults = vec![serde_json::json!(configuration.files)];
                    let problem = types::Problem { error: "bad\n".into(), faults };
                    drop(reply.send(Err(Refused::Faulty(problem))));
                }
            }
        });
        let endpoints: Vec<types::Endpoint> = get(&socket, path::ENDPOINTS).unwrap();
        assert_eq!(endpoints, []);
        let error = post::<()>(&socket, path::DOWN).unwrap_err();
        assert_eq!(error.to_string(), "not now");
        let error = get::<Vec<types::Flow>>(&socket, "/v1/flows?endpoint=a").unwrap_err();
        assert_eq!(error.to_string(), "the daemon is ending");
        let asked = types::Configuration::default();
        let error = send::<()>(&socket, path::PLAN, &asked).unwrap_err();
        assert_eq!(error.to_string(), "bad");
        assert!(matches!(error, Error::Faulty(problem) if problem.faults[0].is_null()));
        let error = get::<()>(&socket, "/v1/nothing").unwrap_err();
        assert_eq!(error.to_string(), "there is nothing under this path");
        let taken =
            runtime.block_on(async { server::listen(&socket, &server::Door::default()).map(drop) });
        assert!(matches!(taken, Err(server::SocketError::Taken { .. })));
    }
}
