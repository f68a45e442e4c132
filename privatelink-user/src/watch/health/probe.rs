//! Runs one check of one target.

mod failure;
mod grpc;
mod http;
mod tls;

use std::time::Duration;

use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout_at},
};

use super::check::Check;
use crate::model::Probe;
pub(super) use failure::Failure;
pub(super) use tls::Trust;

/// The time limit of a stage.
struct Deadline {
    begun: Instant,
    allowed: Duration,
}

impl Deadline {
    /// Runs one stage of the check within the limit.
    async fn of<T>(
        &self,
        stage: &'static str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let timed_out = |_| Failure::TimedOut { after: self.allowed, stage };
        timeout_at(self.begun + self.allowed, work).await.map_err(timed_out)?
    }
}

/// A target that passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// A summary of its answer.
    pub answer: String,
    /// How long the connection took.
    pub connected_in: Duration,
}

/// Checks a target. `patience` limits the time to connect, if it is shorter than the timeout of
/// the whole check.
///
/// # Errors
/// When the target does not pass.
pub(super) async fn probe(
    check: &Check,
    tls: Option<tls::Configured>,
    patience: Option<Duration>,
) -> Result<Passed, Failure> {
    let (begun, allowed) = (Instant::now(), check.how.timeout.get());
    let connecting = patience.map_or(allowed, |patience| patience.min(allowed));
    let deadline = Deadline { begun, allowed: connecting };
    let stream = deadline.of("connecting", connect(check)).await?;
    let connected_in = begun.elapsed();
    let deadline = Deadline { begun, allowed };
    let answer = match tls {
        None => ask(check, &deadline, stream).await?,
        Some(tls) => {
            let stream = deadline.of("negotiating TLS", tls.wrap(check, stream)).await?;
            ask(check, &deadline, stream).await?
        }
    };
    Ok(Passed { answer, connected_in })
}

/// Opens a connection through the network's own interface.
async fn connect(check: &Check) -> Result<TcpStream, Failure> {
    let interface = check.interface.as_str();
    let socket = if check.at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(Failure::Connect)?;
    socket.bind_device(Some(interface.as_bytes())).map_err(Failure::Connect)?;
    socket.set_nodelay(true).map_err(Failure::Connect)?;
    let connected = socket.connect(check.at).await;
    connected.map_err(|error| match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Failure::Refused,
        Some(libc::ECONNRESET) => Failure::Reset,
        Some(libc::EHOSTUNREACH) => Failure::HostUnreachable,
        Some(libc::ENETUNREACH) => Failure::NetworkUnreachable(interface.to_owned()),
        _ => Failure::Connect(error),
    })
}

/// Sends the request, if the protocol has one, and judges the answer.
async fn ask<S>(check: &Check, deadline: &Deadline, stream: S) -> Result<String, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    match &check.how.probe {
        Probe::Tcp => Ok("connected".to_owned()),
        Probe::Http { path, matcher, host, .. } => {
            let host = host.as_ref().map_or_else(|| check.at.to_string(), ToString::to_string);
            let code =
                deadline.of("waiting for the answer", http::ask(stream, path, &host)).await?;
            if matcher.contain(code) {
                return Ok(format!("HTTP {code}"));
            }
            Err(Failure::Status { code, expected: matcher.clone() })
        }
        Probe::Grpc { service, host, .. } => {
            let host = host.as_ref().map_or_else(|| check.at.to_string(), ToString::to_string);
            deadline.of("waiting for the answer", grpc::ask(stream, service, &host)).await
        }
    }
}

#[cfg(test)]
mod tests;
