//! One check of one target, over the network.

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
use failure::Failure;

pub(super) use tls::Trust;

/// When a check has to have come how far.
struct Deadline {
    begun: Instant,
    allowed: Duration,
}

impl Deadline {
    /// Waits for one stage of the check.
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
    /// What it answered.
    pub answer: String,
    /// How long it took to accept the connection.
    pub connected_in: Duration,
}

/// Checks a target; `patience` is how long it may take to accept a connection, if that is less
/// than the check may take as a whole.
///
/// # Errors
/// Why it does not pass.
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
            let stream = deadline.of("agreeing on TLS", tls.wrap(check, stream)).await?;
            ask(check, &deadline, stream).await?
        }
    };
    Ok(Passed { answer, connected_in })
}

/// Opens a connection by the network's own interface.
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

/// Asks over an open connection.
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
