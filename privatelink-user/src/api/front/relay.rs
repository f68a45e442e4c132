//! The requests of one connection, written anew for the daemon.
//!
//! Both ends are HTTP/1.1 of the same library, and nothing of a head is passed on as bytes, so the
//! daemon never sees a request that two parsers could read differently.

use std::{io, sync::Arc, time::Duration};

use hyper::{
    Request, Response, Uri,
    body::Incoming,
    client::conn::http1::{self as client, SendRequest},
    header::{CONNECTION, EXPECT, HOST, HeaderName, HeaderValue, TE, UPGRADE},
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
};

/// How long a caller may take to send the head of a request, also of the next one.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a connection that wait to be looked at; the head of a request must fit.
const BUFFER: usize = 64 << 10;
/// The most lines of a head.
const MOST_HEADERS: usize = 64;
/// What concerns one hop alone.
const OF_ONE_HOP: [HeaderName; 4] = [CONNECTION, UPGRADE, TE, EXPECT];

/// Passes requests on until either end is done.
///
/// # Errors
/// When one of the ends breaks off.
pub(super) async fn relay<C, D>(caller: C, daemon: D) -> hyper::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    D: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = client::handshake(TokioIo::new(daemon)).await?;
    let hop = tokio::spawn(connection);
    let sender = Arc::new(Mutex::new(sender));
    let service = service_fn(move |request| {
        let sender = Arc::clone(&sender);
        async move { pass(&mut *sender.lock().await, request).await }
    });
    let mut http = server::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .max_headers(MOST_HEADERS);
    let served = http.serve_connection(TokioIo::new(caller), service).await;
    hop.abort();
    served
}

async fn pass(
    daemon: &mut SendRequest<Incoming>,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, io::Error> {
    let refused = |error: &str| io::Error::new(io::ErrorKind::InvalidInput, error.to_owned());
    let path = request.uri().path_and_query().ok_or_else(|| refused("no path"))?;
    *request.uri_mut() = Uri::from(path.clone());
    let headers = request.headers_mut();
    OF_ONE_HOP.iter().for_each(|name| drop(headers.remove(name)));
    headers.insert(HOST, HeaderValue::from_static("privatelink"));
    daemon.ready().await.map_err(io::Error::other)?;
    daemon.send_request(request).await.map_err(io::Error::other)
}
