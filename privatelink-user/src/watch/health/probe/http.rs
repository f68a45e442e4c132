//! An HTTP/1.1 request.

use http_body_util::Empty;
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1,
    header::{self, CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::Failure;

/// The client's name, as targets see it in their logs.
pub(super) const USER_AGENT: &str = concat!("privatelink-health-check/", env!("CARGO_PKG_VERSION"));
/// The protocol, as failures name it.
const PROTOCOL: &str = "HTTP";

/// Fetches a path and returns the status code.
pub(super) async fn ask<S>(stream: S, path: &str, host: &str) -> Result<u16, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::protocol(PROTOCOL, &error))?;
    let request = Request::get(path)
        .header(HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::protocol(PROTOCOL, &error))?;
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // If the connection ends first, the pending request returns the error.
        _ = &mut connection => answer.await,
    }
    .map(|answer| answer.status().as_u16())
    .map_err(|error| Failure::protocol(PROTOCOL, &error))
}
