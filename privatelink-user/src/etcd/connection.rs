//! A connection to one member: TCP, TLS where the address says so, and HTTP/2.

use std::{
    convert::Infallible,
    io,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Request, StatusCode,
    body::{Body, Frame, Incoming},
    client::conn::http2::{Builder, SendRequest},
    header::{CONTENT_TYPE, TE},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{
    endpoint::Endpoint,
    error::{Error, status},
    frame,
};

/// The time between two pings. etcd ends the connection of a client that sends more than one in 5
/// seconds.
const PING: Duration = Duration::from_secs(6);
/// How long a ping may remain unanswered.
const PONG: Duration = Duration::from_secs(2);
/// How much may arrive before the member has to wait: a page of keys at once.
const WINDOW: u32 = 4 * 1024 * 1024;

/// A connection that carries any number of calls at a time.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    member: String,
    authority: String,
    sender: SendRequest<Outgoing>,
}

impl Connection {
    /// Connects to a member.
    pub async fn open(endpoint: &Endpoint, tls: Option<&Arc<ClientConfig>>) -> Result<Self, Error> {
        let member = endpoint.to_string();
        let failed = |source| Error::Connect { member: member.clone(), source };
        let address = (endpoint.host(), endpoint.port());
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let sender = if endpoint.is_secure() {
            let unconfigured = || io::Error::other("`https` needs certificates");
            let connector =
                TlsConnector::from(Arc::clone(tls.ok_or_else(unconfigured).map_err(failed)?));
            let name = ServerName::try_from(endpoint.host().to_owned()).map_err(io::Error::other);
            let stream = connector.connect(name.map_err(failed)?, stream).await.map_err(failed)?;
            begin(stream).await
        } else {
            begin(stream).await
        };
        let sender = sender.map_err(|error| failed(io::Error::other(error)))?;
        Ok(Self { member, authority: endpoint.authority(), sender })
    }

    /// Makes a call that has one answer.
    pub async fn call<A, R>(&mut self, method: &str, message: &A) -> Result<R, Error>
    where
        A: Message,
        R: Message + Default,
    {
        let mut replies = self.send(method, Outgoing::whole(frame::encode(message))).await?;
        let reply = replies.next().await?;
        reply.ok_or_else(|| self.lost("the answer has no message"))
    }

    /// Makes a call that goes on, and is answered by any number of messages, until what this
    /// returns is dropped.
    pub async fn follow<A, R>(&mut self, method: &str, message: &A) -> Result<Replies<R>, Error>
    where
        A: Message,
        R: Message + Default,
    {
        self.send(method, Outgoing::open(frame::encode(message))).await
    }

    async fn send<R>(&mut self, method: &str, body: Outgoing) -> Result<Replies<R>, Error> {
        let request = Request::post(format!("http://{}/etcdserverpb.{method}", self.authority))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            // A member that has no leader refuses, instead of keeping silent until it has one.
            .header("hasleader", "true")
            .body(body)
            .map_err(|error| self.lost(&error))?;
        self.sender.ready().await.map_err(|error| self.lost(&error))?;
        let answer = self.sender.send_request(request).await.map_err(|error| self.lost(&error))?;
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            return Err(self.lost(&format!("HTTP status {}", head.status.as_u16())));
        }
        // A refusal without a message has its status in the headers.
        check(&head.headers, &self.member)?;
        let member = self.member.clone();
        Ok(Replies { member, body, arrived: BytesMut::new(), message: PhantomData })
    }

    fn lost(&self, cause: &(impl ToString + ?Sized)) -> Error {
        Error::Lost { member: self.member.clone(), cause: cause.to_string() }
    }
}

async fn begin<S>(stream: S) -> hyper::Result<SendRequest<Outgoing>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // It ends with the last sender, or with the connection; calls learn why by themselves.
    tokio::spawn(connection);
    Ok(sender)
}

fn check(headers: &HeaderMap, member: &str) -> Result<(), Error> {
    let read = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = read("grpc-status") else { return Ok(()) };
    match code.parse().unwrap_or(status::UNKNOWN) {
        0 => Ok(()),
        code => {
            let message = frame::text(read("grpc-message").unwrap_or_default());
            Err(Error::Status { member: member.to_owned(), code, message })
        }
    }
}

/// The messages of an answer, as they arrive.
#[derive(Debug)]
pub(super) struct Replies<R> {
    member: String,
    body: Incoming,
    arrived: BytesMut,
    message: PhantomData<fn() -> R>,
}

impl<R: Message + Default> Replies<R> {
    /// Waits for the next message; `None` if the member has ended the answer.
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<R>, Error> {
        loop {
            let lost = |cause: String| Error::Lost { member: self.member.clone(), cause };
            match frame::decode(&mut self.arrived) {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(malformed) => return Err(lost(malformed.to_string())),
            }
            let Some(arrived) = self.body.frame().await else { return Ok(None) };
            let arrived = arrived.map_err(|error| lost(error.to_string()))?;
            match arrived.into_data() {
                Ok(data) => self.arrived.extend_from_slice(&data),
                Err(other) => {
                    if let Some(trailers) = other.trailers_ref() {
                        check(trailers, &self.member)?;
                    }
                }
            }
        }
    }
}

/// What a call sends: one frame, after which it ends or stays open.
#[derive(Debug)]
pub(super) struct Outgoing {
    frame: Option<Bytes>,
    stays_open: bool,
}

impl Outgoing {
    fn whole(frame: Bytes) -> Self {
        Self { frame: Some(frame), stays_open: false }
    }

    fn open(frame: Bytes) -> Self {
        Self { frame: Some(frame), stays_open: true }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frame.take() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            // Nothing wakes it: the call ends when its answer is dropped.
            None if self.stays_open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frame.is_none() && !self.stays_open
    }
}
