//! The requests of one connection, written anew for the daemon.
//!
//! Both ends are HTTP/1.1 of the same library, and nothing of a head is passed on as bytes, so the
//! daemon never sees a request that two parsers could read differently.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{Either, Full};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Body as _, Bytes, Incoming},
    client::conn::http1::{self as client, SendRequest},
    header::{CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderName, HeaderValue, TE, UPGRADE},
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
};

use crate::api::host::{AMBIGUOUS, is_ambiguous};

/// How long a caller may take to send the head of a request, also of the next one.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a connection that wait to be looked at.
const BUFFER: usize = 64 << 10;
/// The most bytes of a head's path, names and values. The buffer alone is no bound: a head that
/// arrives in one piece is read whole.
const LONGEST_HEAD: usize = 32 << 10;
/// A body that only administrators may send.
const LARGE: u64 = 64 << 10;
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

type Answer = Response<Either<Incoming, Full<Bytes>>>;

async fn pass(
    daemon: &mut SendRequest<Incoming>,
    mut request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let Some(path) = request.uri().path_and_query().cloned() else {
        return Ok(refusal(StatusCode::BAD_REQUEST, "the request names no path"));
    };
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
    if path.as_str().len() + lines.sum::<usize>() > LONGEST_HEAD {
        let code = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Ok(refusal(code, "the head of the request is too long"));
    }
    if is_ambiguous(request.version(), request.headers()) {
        return Ok(refusal(StatusCode::BAD_REQUEST, AMBIGUOUS));
    }
    *request.uri_mut() = Uri::from(path);
    let headers = request.headers_mut();
    OF_ONE_HOP.iter().for_each(|name| drop(headers.remove(name)));
    headers.insert(HOST, HeaderValue::from_static("privatelink"));
    let length = request.body().size_hint().lower();
    let answer = async {
        daemon.ready().await?;
        daemon.send_request(request).await
    };
    Ok(match answer.await {
        Ok(answer) => answer.map(Either::Left),
        // It refuses a body by its head, and may hang up before all of it has been passed on.
        Err(_) if length > LARGE => refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request body exceeds what the caller may send",
        ),
        Err(_) => {
            refusal(StatusCode::BAD_GATEWAY, "the daemon has ended the connection; ask again")
        }
    })
}

/// An answer of this process's own, after which the connection ends.
fn refusal(code: StatusCode, error: &str) -> Answer {
    let body = serde_json::json!({ "error": error }).to_string();
    let mut answer = Response::new(Either::Right(Full::from(body)));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// What the daemon gets of what a caller sends, and what the caller gets where the daemon answers
    /// this.
    async fn relayed(sent: &str, answer: &str) -> (String, String) {
        let (mut caller, near) = duplex(256 << 10);
        let (far, mut daemon) = duplex(256 << 10);
        let relayed = tokio::spawn(relay(near, far));
        caller.write_all(sent.as_bytes()).await.unwrap();
        let mut got = vec![0; 4_096];
        let count = daemon.read(&mut got).await.unwrap();
        got.truncate(count);
        // Where a request was refused on the way, nobody reads it.
        let _ = daemon.write_all(answer.as_bytes()).await;
        drop(daemon);
        let mut said = String::new();
        caller.read_to_string(&mut said).await.unwrap();
        drop(relayed);
        (String::from_utf8(got).unwrap(), said)
    }

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n[]";

    #[tokio::test]
    async fn a_long_head_goes_no_further() {
        let with = |bytes: usize| {
            format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(bytes))
        };
        let (got, said) = relayed(&with(LONGEST_HEAD), ANSWER).await;
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
        assert_eq!(got, "");
        let (got, said) = relayed(&with(2 << 10), ANSWER).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        assert!(got.contains("x-long: xx"), "{got}");
    }

    #[tokio::test]
    async fn a_head_is_written_anew() {
        let sent = "GET http://other/v1/status?a=b HTTP/1.1\r\nHost: other\r\nTE: trailers\r\n\
                    Upgrade: h2c\r\nConnection: upgrade\r\nX-Own:  1\r\n\r\n";
        let (got, said) = relayed(sent, ANSWER).await;
        let expected = "GET /v1/status?a=b HTTP/1.1\r\nhost: privatelink\r\n";
        assert!(got.starts_with(expected), "{got}");
        assert!(!got.contains("upgrade") && !got.contains("trailers"), "{got}");
        assert!(got.contains("x-own: 1\r\n"), "{got}");
        assert!(said.starts_with("HTTP/1.1 200 OK") && said.ends_with("[]"), "{said}");
        assert!(said.contains("connection: close\r\n"), "{said}");
    }

    #[tokio::test]
    async fn a_request_with_two_lengths_reaches_nobody() {
        for wrong in [
            "content-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "content-length: 1\r\ntransfer-encoding: chunked\r\nhost: y\r\n\r\n0\r\n\r\nGET / HTTP/1.1",
            "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        ] {
            let (mut caller, near) = duplex(4_096);
            let (far, mut daemon) = duplex(4_096);
            let relayed = tokio::spawn(relay(near, far));
            let sent = format!("POST /v1/keys HTTP/1.1\r\nhost: x\r\n{wrong}");
            caller.write_all(sent.as_bytes()).await.unwrap();
            caller.shutdown().await.unwrap();
            let mut got = vec![0; 4_096];
            let count = daemon.read(&mut got).await.unwrap();
            got.truncate(count);
            drop(daemon);
            let mut said = String::new();
            caller.read_to_string(&mut said).await.unwrap();
            assert!(!said.contains(" 200 "), "{said}");
            let got = String::from_utf8(got).unwrap();
            let lengths = got.matches("content-length").count();
            let chunked = got.matches("transfer-encoding").count();
            assert!(lengths + chunked <= 1, "{wrong}: {got}");
            assert!(!got.contains("GET /"), "{got}");
            drop(relayed);
        }
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_up_is_an_answer() {
        for (length, code) in [(9, "502"), (70_000, "413")] {
            let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{{");
            let (_, said) = relayed(&head, "").await;
            assert!(said.starts_with(&format!("HTTP/1.1 {code} ")), "{said}");
            assert!(said.contains(r#"{"error":"#), "{said}");
        }
    }
}
