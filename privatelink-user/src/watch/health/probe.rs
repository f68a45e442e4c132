//! One check of one target, over the network.

mod grpc;
mod http;
mod tls;

use std::{io, time::Duration};

use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout_at},
};

use super::Check;
use crate::model::{Probe, StatusCodes};

pub(super) use tls::Trust;

/// Who asks, as targets see it in their logs.
const USER_AGENT: &str = concat!("privatelink-health-check/", env!("CARGO_PKG_VERSION"));

/// Why a target did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("connection refused")]
    Refused,
    #[error("connection reset")]
    Reset,
    #[error("no route to host: nobody answers for its address")]
    HostUnreachable,
    #[error("network unreachable: the gateway has no route to it on {0}")]
    NetworkUnreachable(String),
    #[error("timed out after {} while {}", humantime::format_duration(*.after), .stage)]
    TimedOut { after: Duration, stage: &'static str },
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("HTTP {code}, expected {expected}")]
    Status { code: u16, expected: StatusCodes },
    #[error("no answer in {protocol}: {cause}")]
    Protocol { protocol: &'static str, cause: String },
    #[error("gRPC health is {0}")]
    NotServing(&'static str),
    #[error("gRPC status {code}{}", grpc::meaning(*.code))]
    Grpc { code: u32 },
}

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

/// An error with its causes: the outermost one often says no more than that there was one.
fn chain(error: &dyn std::error::Error) -> String {
    crate::chain::Chain(error).to_string()
}

#[cfg(test)]
mod tests;
