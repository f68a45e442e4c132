//! Posts each event to a URL.

use std::{io, path::Path, sync::Arc, thread, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    host::certificates::{certificates, trusted},
    interface::types::Event,
    model::WebhookUrl,
};

/// Timeout of one attempt.
const PATIENCE: Duration = Duration::from_secs(10);
/// Waits between attempts, about half a minute in total.
const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// The URL that events are posted to, with its TLS settings.
pub(super) struct Webhook {
    url: WebhookUrl,
    tls: Option<TlsConnector>,
    runtime: Runtime,
}

/// Why an event was not accepted.
#[derive(Debug)]
enum PostFailure {
    /// A retry may succeed.
    Temporary(String),
    /// A retry will not succeed.
    Permanent(String),
}

impl Webhook {
    /// Posts to `url`. Its certificate must be signed by one in `ca_file`, or by one that the host
    /// trusts.
    pub fn new(url: &WebhookUrl, ca_file: Option<&Path>) -> Result<Self, String> {
        let tls = if url.is_secure() { Some(connector(ca_file)?) } else { None };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        Ok(Self { url: url.clone(), tls, runtime })
    }

    /// Posts an event, with retries after temporary failures.
    pub fn post(&self, event: &Event) -> Result<(), String> {
        let json = serde_json::to_vec(event).map_err(|error| error.to_string())?;
        let json = Bytes::from(json);
        let mut waits = WAITS.into_iter();
        loop {
            let attempt = async { timeout(PATIENCE, self.attempt(json.clone())).await };
            let late = || {
                PostFailure::Temporary(format!("no response within {} seconds", PATIENCE.as_secs()))
            };
            let error = match self.runtime.block_on(attempt).unwrap_or_else(|_| Err(late())) {
                Ok(()) => return Ok(()),
                Err(PostFailure::Permanent(error)) => return Err(error),
                Err(PostFailure::Temporary(error)) => error,
            };
            let Some(wait) = waits.next() else { return Err(error) };
            thread::sleep(wait);
        }
    }

    async fn attempt(&self, json: Bytes) -> Result<(), PostFailure> {
        let failed = |error: io::Error| PostFailure::Temporary(error.to_string());
        let address = (self.url.host(), self.url.port());
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        let Some(tls) = &self.tls else { return self.send(stream, json).await };
        let name = ServerName::try_from(self.url.host().to_owned());
        let name = name.map_err(|error| PostFailure::Permanent(error.to_string()))?;
        self.send(tls.connect(name, stream).await.map_err(failed)?, json).await
    }

    async fn send<S>(&self, stream: S, json: Bytes) -> Result<(), PostFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let failed = |error: hyper::Error| PostFailure::Temporary(error.to_string());
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let request = Request::post(self.url.path())
            .header(HOST, self.url.authority())
            .header(USER_AGENT, concat!("privatelink/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close")
            .body(Full::new(json))
            .map_err(|error| PostFailure::Permanent(error.to_string()))?;
        let answer = sender.send_request(request);
        tokio::pin!(connection, answer);
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            // If the connection ends first, the pending request returns the error.
            _ = &mut connection => answer.await,
        };
        judge(answer.map_err(failed)?.status())
    }
}

/// Whether the response's status means that the event was accepted.
fn judge(code: StatusCode) -> Result<(), PostFailure> {
    let text = format!("the server responded with {code}");
    if code.is_success() {
        return Ok(());
    }
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&code);
    Err(if code.is_server_error() || busy {
        PostFailure::Temporary(text)
    } else {
        PostFailure::Permanent(text)
    })
}

fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    let file = match ca_file {
        Some(file) => file,
        None => trusted()
            .ok_or("no trusted root certificates found on this host: set `webhook_ca_file`")?,
    };
    let roots: RootCertStore = certificates(file)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
    };

    use super::*;

    /// Answers one request with each of these codes, and returns the request bodies.
    fn server(codes: Vec<u16>) -> (WebhookUrl, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/events?a=b", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let serve = |code| {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(&stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    reader.read_line(&mut head).unwrap();
                }
                assert!(head.starts_with("POST /events?a=b HTTP/1.1\r\n"), "{head}");
                let head = head.to_lowercase();
                assert!(head.contains("content-type: application/json\r\n"), "{head}");
                let length = head.split("content-length: ").nth(1).unwrap();
                let length: usize = length.split('\r').next().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                write!(&stream, "HTTP/1.1 {code} x\r\ncontent-length: 0\r\n\r\n").unwrap();
                String::from_utf8(body).unwrap()
            };
            codes.into_iter().map(serve).collect()
        });
        (url.parse().unwrap(), served)
    }

    fn event() -> Event {
        serde_json::from_str(r#"{"number":7,"time":"t","kind":"k","text":"x","endpoint":"a"}"#)
            .unwrap()
    }

    #[test]
    fn temporary_failures_are_retried() {
        let (url, served) = server(vec![503, 204]);
        Webhook::new(&url, None).unwrap().post(&event()).unwrap();
        let bodies = served.join().unwrap();
        assert_eq!(bodies[0], bodies[1]);
        assert_eq!(serde_json::from_str::<Event>(&bodies[0]).unwrap(), event());
    }

    #[test]
    fn permanent_failures_are_not_retried() {
        let (url, served) = server(vec![400]);
        let error = Webhook::new(&url, None).unwrap().post(&event()).unwrap_err();
        assert!(error.contains("400"), "{error}");
        served.join().unwrap();
    }
}
