//! The command line's end of a connection to the daemon.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
pub use hyper::Method;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, IF_NONE_MATCH},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    absence::Absence,
    daemon::{Daemon, Server},
};
use crate::{
    api::OMITTED,
    interface::types::{Flow, Problem},
    model::{Invalid, Name},
};

/// Longer than the API waits for the daemon's loop, so that its error arrives.
const PATIENCE: Duration = Duration::from_secs(35);

/// Why a command gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No daemon listens on the socket.
    #[error(
        "no daemon listens on {}: {absence}\nstart one with `systemctl start privatelink` or \
         `privatelink run`, or name the socket of another with --socket",
        socket.display()
    )]
    NotRunning {
        /// The socket.
        socket: PathBuf,
        /// What packets do.
        absence: Absence,
    },
    /// The socket cannot be used.
    #[error("cannot connect to the daemon on {}{}", socket.display(), hint(source))]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What is needed to reach a server is missing or faulty.
    #[error("{0}")]
    Unusable(String),
    /// No server can be reached.
    #[error("cannot connect to a gateway at {at}")]
    Unreachable {
        /// Where it should be.
        at: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// TLS failed.
    #[error("the gateway at {at} and this command do not agree on TLS; see --ca-file")]
    Untrusted {
        /// Where it is.
        at: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// This process cannot wait for anything.
    #[error("cannot prepare to wait for an answer")]
    Runtime(#[source] io::Error),
    /// HTTP failed.
    #[error("the connection to the daemon failed")]
    Broken(#[from] hyper::Error),
    /// The daemon takes too long.
    #[error("the daemon did not answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    /// The daemon refuses the request.
    #[error("{0}")]
    Refused(String),
    /// The daemon sends no more events.
    #[error("the daemon has ended, or you have no rights any more")]
    Ended,
    /// The answer cannot be printed.
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    /// The daemon refuses a configuration.
    #[error("{}", .0.error.trim_end())]
    Faulty(Problem),
    /// The daemon's answer has other types.
    #[error("cannot read the daemon's answer: is the daemon of another release?")]
    Foreign(#[from] serde_json::Error),
    /// The request cannot be sent, because no object can have this name.
    #[error("no object can be named `{name}`")]
    Name {
        /// The text that is no name.
        name: String,
        /// The rule that it breaks.
        #[source]
        source: Invalid,
    },
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        ": you must be root or in the socket's group"
    } else {
        ""
    }
}

/// A name that can be put into a path.
///
/// # Errors
/// When no object can have it.
pub fn name(text: &str) -> Result<Name, Error> {
    Name::of_service(text).map_err(|source| Error::Name { name: text.to_owned(), source })
}

/// A path and the query string that asks for `query`: the keys that have a value. Names, numbers,
/// addresses and times contain nothing that would have to be escaped.
///
/// # Errors
/// When `query` is no structure.
pub fn with_query(path: &str, query: &impl Serialize) -> Result<String, Error> {
    let keys: BTreeMap<String, serde_json::Value> =
        serde_json::from_value(serde_json::to_value(query)?)?;
    let mut text = path.to_owned();
    let mut separator = '?';
    for (key, value) in keys.into_iter().filter(|(_, value)| !value.is_null()) {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        text += &format!("{separator}{key}={value}");
        separator = '&';
    }
    Ok(text)
}

/// Asks for the answer under `path`.
///
/// # Errors
/// When there is no daemon, or it refuses.
pub fn get<T: DeserializeOwned>(daemon: &Daemon, path: &str) -> Result<T, Error> {
    Ok(serde_json::from_slice(&exchange(daemon, Asked::new(Method::GET, path))?.body)?)
}

/// Asks for some of the flows; returns also how many the answer omits.
///
/// # Errors
/// As [`get`].
pub fn flows(daemon: &Daemon, path: &str) -> Result<(Vec<Flow>, u64), Error> {
    let mut body = Vec::new();
    let omitted = copy(daemon, path, &mut body)?;
    Ok((serde_json::from_slice(&body)?, omitted))
}

/// Copies the answer under `path` as it arrives, however long that takes; returns how many flows it
/// omits.
///
/// # Errors
/// When there is no daemon, when it refuses, or when the answer cannot be written.
pub fn copy(daemon: &Daemon, path: &str, out: &mut impl io::Write) -> Result<u64, Error> {
    runtime()?.block_on(async {
        let mut response = begun(daemon, path).await?;
        let omitted = omitted(&response);
        while let Some(frame) = response.body_mut().frame().await {
            let part = frame?.into_data().unwrap_or_default();
            out.write_all(&part).map_err(Error::Output)?;
        }
        Ok(omitted)
    })
}

/// Begins to receive an answer, unless the daemon refuses.
async fn begun(daemon: &Daemon, path: &str) -> Result<Response<Incoming>, Error> {
    let begun = timeout(PATIENCE, begin(daemon, Asked::new(Method::GET, path))).await;
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

/// Calls `each` with every line that arrives under `path`, until the daemon ends.
///
/// # Errors
/// When there is no daemon, when it ends, or when `each` fails.
pub fn follow<T: DeserializeOwned>(
    daemon: &Daemon,
    path: &str,
    mut each: impl FnMut(T) -> io::Result<()>,
) -> Result<(), Error> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut body = begun(daemon, path).await?.into_body();
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

/// Makes the daemon do what `path` stands for.
///
/// # Errors
/// When there is no daemon, or it refuses.
pub fn post<T: DeserializeOwned>(daemon: &Daemon, path: &str) -> Result<T, Error> {
    Ok(serde_json::from_slice(&exchange(daemon, Asked::new(Method::POST, path))?.body)?)
}

/// Makes the daemon do what `path` stands for, with `body`.
///
/// # Errors
/// As [`post`].
pub fn send<T: DeserializeOwned>(
    daemon: &Daemon,
    path: &str,
    body: &impl Serialize,
) -> Result<T, Error> {
    write(daemon, (Method::POST, path), Some(body), false)
}

/// Removes what `path` stands for; returns what it was.
///
/// # Errors
/// When there is no daemon, or it refuses.
pub fn delete<T: DeserializeOwned>(daemon: &Daemon, path: &str) -> Result<T, Error> {
    Ok(serde_json::from_slice(&exchange(daemon, Asked::new(Method::DELETE, path))?.body)?)
}

/// Makes the daemon write what `path` names; with `create`, only if there is no such object.
///
/// # Errors
/// As [`post`].
pub fn write<T: DeserializeOwned>(
    daemon: &Daemon,
    (method, path): (Method, &str),
    body: Option<&impl Serialize>,
    create: bool,
) -> Result<T, Error> {
    let body = body.map(serde_json::to_vec).transpose()?;
    let asked = Asked { method, path, body, create };
    Ok(serde_json::from_slice(&exchange(daemon, asked)?.body)?)
}

/// What is sent to the daemon.
struct Asked<'a> {
    method: Method,
    path: &'a str,
    body: Option<Vec<u8>>,
    /// Whether the object must not exist.
    create: bool,
}

impl<'a> Asked<'a> {
    fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, body: None, create: false }
    }
}

/// A whole answer.
struct Answer {
    code: StatusCode,
    body: Bytes,
}

fn exchange(daemon: &Daemon, asked: Asked<'_>) -> Result<Answer, Error> {
    let runtime = runtime()?;
    let answer = runtime.block_on(async {
        let exchange = timeout(PATIENCE, converse(daemon, asked)).await;
        exchange.unwrap_or(Err(Error::Silent))
    })?;
    if answer.code.is_success() {
        return Ok(answer);
    }
    Err(refused(answer.code, &answer.body)?)
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)
}

/// The error that a response without success carries.
fn refused(code: StatusCode, body: &[u8]) -> Result<Error, Error> {
    let problem: Problem = serde_json::from_slice(body)?;
    Ok(if code == StatusCode::UNPROCESSABLE_ENTITY {
        Error::Faulty(problem)
    } else {
        Error::Refused(problem.error)
    })
}

async fn converse(daemon: &Daemon, asked: Asked<'_>) -> Result<Answer, Error> {
    let response = begin(daemon, asked).await?;
    let code = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer { code, body })
}

/// Sends a request, and returns the answer as it begins.
async fn begin(daemon: &Daemon, asked: Asked<'_>) -> Result<Response<Incoming>, Error> {
    let Asked { method, path, body, create } = asked;
    let mut sender = connect(daemon).await?;
    let is_json = body.is_some();
    let mut request = Request::new(Full::<Bytes>::from(body.unwrap_or_default()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|_| Error::Refused(format!("no path `{path}`")))?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("privatelink"));
    if create {
        request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    if is_json {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
    }
    if let Daemon::Server(Ok(server)) = daemon
        && let Some(authorization) = &server.authorization
    {
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    Ok(sender.send_request(request).await?)
}

type Sender = http1::SendRequest<Full<Bytes>>;

/// Connects to the daemon.
async fn connect(daemon: &Daemon) -> Result<Sender, Error> {
    match daemon {
        Daemon::Socket(socket) => speak(connect_here(socket).await?).await,
        Daemon::Server(Ok(server)) => speak(connect_there(server).await?).await,
        Daemon::Server(Err(unusable)) => Err(Error::Unusable(unusable.to_string())),
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Sender, Error> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn connect_here(socket: &Path) -> Result<UnixStream, Error> {
    UnixStream::connect(socket).await.map_err(|source| {
        let socket = socket.to_owned();
        let nobody = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        if nobody.contains(&source.kind()) {
            Error::NotRunning { absence: Absence::of(&socket), socket }
        } else {
            Error::Connect { socket, source }
        }
    })
}

async fn connect_there(server: &Server) -> Result<TlsStream<TcpStream>, Error> {
    let at = || format!("{}, port {}", server.host, server.port);
    let failed = |source| Error::Unreachable { at: at(), source };
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(failed)?;
    let tls = TlsConnector::from(Arc::clone(&server.tls));
    let agreed = tls.connect(server.name.clone(), stream).await;
    agreed.map_err(|source| Error::Untrusted { at: at(), source })
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot, watch};

    use super::*;
    use crate::{
        access::Register,
        api::{
            front::keeper::way_to_server,
            request::{self, Refused},
            server,
        },
        audit::Audit,
        interface::{path, types},
    };

    #[test]
    fn a_query_string_has_the_keys_with_values() {
        let query = types::FlowQuery {
            endpoint: Some("a".into()),
            address: Some("fd00::1".parse().unwrap()),
            port: Some(80),
            ..types::FlowQuery::default()
        };
        let path = with_query(path::FLOWS, &query).unwrap();
        assert_eq!(path, "/v1/flows?address=fd00::1&endpoint=a&port=80");
        let none = types::FlowQuery::default();
        assert_eq!(with_query(path::FLOWS, &none).unwrap(), path::FLOWS);
    }

    #[test]
    fn a_socket_without_a_daemon_is_an_error_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let daemon = Daemon::Socket(socket.clone());
        let error = get::<types::Status>(&daemon, path::STATUS).unwrap_err();
        assert!(matches!(error, Error::NotRunning { .. }), "{error}");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let error = get::<types::Status>(&daemon, path::STATUS).unwrap_err();
        assert!(matches!(error, Error::NotRunning { .. }), "{error}");
    }

    #[test]
    fn answers_and_refusals_come_through() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let daemon = Daemon::Socket(socket.clone());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (requests, mut asked) = mpsc::channel(1);
        let (_end, ended) = oneshot::channel();
        runtime.block_on(async {
            let listener = server::listen(&socket, &server::Door::default()).unwrap();
            let (_, followed) = watch::channel(Register::of_this_user());
            let remotes = way_to_server().1;
            let known = (followed, Audit::new(directory.path()));
            tokio::spawn(server::serve(listener, remotes, requests, known, ended));
        });
        runtime.spawn(async move {
            while let Some(question) = asked.recv().await {
                let request = question.request;
                if let request::Request::Endpoints(reply) = request {
                    reply.send(Ok(Vec::new()));
                } else if let request::Request::Down(reply) = request {
                    reply.send(Err(Refused::Failed("not now".into())));
                } else if let request::Request::Flows(query, _, reply) = request {
                    assert_eq!(query.endpoint.as_deref(), Some("a"));
                    drop(reply);
                } else if let request::Request::Plan(configuration, reply) = request {
                    let faults = vec![serde_json::json!(configuration.files)];
                    let problem = types::Problem { error: "bad\n".into(), faults };
                    reply.send(Err(Refused::Faulty(problem)));
                }
            }
        });
        let endpoints: Vec<types::Endpoint> = get(&daemon, path::ENDPOINTS).unwrap();
        assert_eq!(endpoints, []);
        let error = post::<()>(&daemon, path::DOWN).unwrap_err();
        assert_eq!(error.to_string(), "not now");
        let error = get::<Vec<types::Flow>>(&daemon, "/v1/flows?endpoint=a").unwrap_err();
        assert_eq!(error.to_string(), "the daemon is ending");
        let asked = types::Configuration::default();
        let error = send::<()>(&daemon, path::PLAN, &asked).unwrap_err();
        assert_eq!(error.to_string(), "bad");
        assert!(matches!(error, Error::Faulty(problem) if problem.faults[0].is_null()));
        let error = get::<()>(&daemon, "/v1/nothing").unwrap_err();
        assert_eq!(error.to_string(), "there is nothing under this path");
        let taken =
            runtime.block_on(async { server::listen(&socket, &server::Door::default()).map(drop) });
        assert!(matches!(taken, Err(server::SocketError::Taken { .. })));
    }
}
