//! Probes against servers of the test's own, on the loopback interface.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{config, model::Tls};

/// Generous: only one test waits for a time to pass, and it sets its own.
const LONG: &str = "60s";

/// A check of `at`, spelled as in a configuration.
fn check(at: SocketAddr, keys: &str) -> Check {
    let timeout =
        if keys.contains("timeout") { String::new() } else { format!("timeout = \"{LONG}\"") };
    let table = format!("[service.health_check]\n{keys}\ninterval = \"1h\"\n{timeout}\n");
    let text = include_str!("../../../desired/tests.toml");
    let text = text.replacen(
        "[[service]]\nname = \"mail\"",
        &format!("{table}[[service]]\nname = \"mail\""),
        1,
    );
    let model =
        config::from_text("test.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}")).model;
    let how = model.services()["web"].health_check.clone().unwrap();
    Check { at, interface: "lo".parse().unwrap(), how, obstacle: None }
}

async fn outcome(check: &Check) -> Result<String, String> {
    let tls = Trust::default().of(&check.how.probe);
    let passed = probe(check, tls, None).await;
    passed.map(|passed| passed.answer).map_err(|failure| failure.to_string())
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

/// Serves one connection: reads a request, and answers this. Returns what was asked.
async fn answer_once(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &str) -> String {
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.unwrap();
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&request[..length]).into_owned()
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "src/watch/health/probe/tests", name].iter().collect()
}

fn acceptor(protocol: &[u8]) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(fixture("target.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(fixture("target-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_connection_is_enough_for_tcp() {
    let (listener, at) = listener().await;
    let check = check(at, "protocol = \"tcp\"");
    assert_eq!(outcome(&check).await, Ok("connected".into()));
    drop(listener);
    assert_eq!(outcome(&check).await, Err("connection refused".into()));
}

#[tokio::test]
async fn codes_of_http_are_matched() {
    let (listener, at) = listener().await;
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in ["200 OK", "503 Unavailable", "204 None", "what?"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            requests.push(answer_once(&mut stream, &answer).await);
        }
        requests
    });
    let keys = "protocol = \"http\"\npath = \"/up?full\"\nhost = \"db.internal\"";
    let strict = format!("{keys}\nmatcher = \"200,302-304\"");
    assert_eq!(outcome(&check(at, keys)).await, Ok("HTTP 200".into()));
    let refused = outcome(&check(at, keys)).await;
    assert_eq!(refused, Err("HTTP 503, expected 200-399".into()));
    let refused = outcome(&check(at, &strict)).await;
    assert_eq!(refused, Err("HTTP 204, expected 200,302-304".into()));
    let refused = outcome(&check(at, keys)).await.unwrap_err();
    assert!(refused.starts_with("no answer in HTTP: invalid HTTP status"), "{refused}");
    let requests = server.await.unwrap();
    assert!(requests[0].starts_with("GET /up?full HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains("host: db.internal\r\n"), "{requests:?}");
    assert!(requests[0].contains("user-agent: privatelink-health-check/"), "{requests:?}");
}

#[tokio::test]
async fn silence_is_a_failure_after_the_timeout() {
    let (listener, at) = listener().await;
    let check = check(at, "protocol = \"http\"\npath = \"/\"\ntimeout = \"50ms\"");
    let failed = outcome(&check).await;
    assert_eq!(failed, Err("timed out after 50ms while waiting for the answer".into()));
    drop(listener);
}

#[tokio::test]
async fn certificates_are_verified_if_configured() {
    let (listener, at) = listener().await;
    tokio::spawn(async move {
        let acceptor = acceptor(b"http/1.1");
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Clients that reject the certificate disconnect.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            answer_once(&mut stream, answer).await;
        }
    });
    let https = |more: &str| check(at, &format!("protocol = \"https\"\npath = \"/\"\n{more}"));
    let ca = fixture("ca.pem");
    let trusted = format!("ca_file = {:?}", ca.to_str().unwrap());
    let other = format!("ca_file = {:?}", fixture("target.pem").to_str().unwrap());
    assert_eq!(outcome(&https("")).await, Ok("HTTP 200".into()));
    assert_eq!(outcome(&https(&trusted)).await, Ok("HTTP 200".into()));
    let named = format!("{trusted}\nhost = \"db.internal\"");
    assert_eq!(outcome(&https(&named)).await, Ok("HTTP 200".into()));
    for (more, text) in [
        (format!("{trusted}\nhost = \"www.internal\""), "not valid for name"),
        (other, "TLS: invalid peer certificate"),
        ("ca_file = \"/none.pem\"".into(), "TLS: cannot read /none.pem"),
    ] {
        let failed = outcome(&https(&more)).await.unwrap_err();
        assert!(failed.contains(text), "{failed}");
    }
}

/// A gRPC server that answers this frame, and this status behind or instead of it.
async fn grpc(frame: &'static [u8], status: &'static str, tls: Option<TlsAcceptor>) -> SocketAddr {
    let (listener, at) = listener().await;
    let answer = move |request: Request<Incoming>| async move {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&asked[..], [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        let answer = Response::builder().header("content-type", "application/grpc");
        if frame.is_empty() {
            let answer = answer.header("grpc-status", status);
            return answer.body(Full::new(Bytes::new()).boxed());
        }
        let frames = [Frame::data(Bytes::from_static(frame)), Frame::trailers(trailers)];
        let frames = frames.map(Ok::<_, std::convert::Infallible>);
        answer.body(StreamBody::new(futures_util::stream::iter(frames)).boxed())
    };
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let server = http2::Builder::new(TokioExecutor::new());
        match tls {
            None => server.serve_connection(TokioIo::new(stream), service_fn(answer)).await,
            Some(tls) => {
                let stream = TokioIo::new(tls.accept(stream).await.unwrap());
                server.serve_connection(stream, service_fn(answer)).await
            }
        }
    });
    at
}

#[tokio::test]
async fn grpc_services_report_their_health() {
    let keys = "protocol = \"grpc\"\nservice = \"db\"";
    for (frame, status, expected) in [
        (&[0, 0, 0, 0, 2, 8, 1][..], "0", Ok("gRPC SERVING")),
        (&[0, 0, 0, 0, 2, 8, 2], "0", Err("gRPC health is NOT_SERVING")),
        (&[0, 0, 0, 0, 0], "0", Err("gRPC health is UNKNOWN")),
        (&[0, 0, 0, 0, 2, 8, 1], "14", Err("gRPC status 14: unavailable")),
        (&[], "5", Err("gRPC status 5: the target does not know that service")),
        (&[], "12", Err("gRPC status 12: the target has no gRPC health service")),
        (&[9], "0", Err("no answer in gRPC: invalid message")),
    ] {
        let at = grpc(frame, status, None).await;
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(outcome(&check(at, keys)).await, expected);
    }
    let at = grpc(&[0, 0, 0, 0, 2, 8, 1], "0", Some(acceptor(b"h2"))).await;
    let check = check(at, &format!("{keys}\ntls = true"));
    assert_eq!(check.how.probe.to_string(), "grpc over tls db");
    assert!(matches!(&check.how.probe, Probe::Grpc { tls: Some(Tls { ca_file: None }), .. }));
    assert_eq!(outcome(&check).await, Ok("gRPC SERVING".into()));
}

#[tokio::test]
async fn an_answer_that_is_not_grpc_is_reported() {
    let (listener, at) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer_once(&mut stream, "HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let check = check(at, "protocol = \"grpc\"");
    let failed = outcome(&check).await.unwrap_err();
    assert!(failed.starts_with("no answer in gRPC: "), "{failed}");
    assert!(check.how.timeout.get() > Duration::from_secs(1));
}
