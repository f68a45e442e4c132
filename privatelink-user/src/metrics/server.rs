//! Answers scrapes: `GET /metrics` over HTTP on an address of the gateway.

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use log::{debug, warn};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore, watch},
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;

use super::{
    detail::Detail,
    source::Error,
    text::Format,
    token::{Claim, Token},
};
use crate::{api::is_ambiguous, chain::Chain, supervision::keep_polling};

/// Connections at a time; more wait until one of them ends.
const CONNECTIONS: usize = 16;
/// How long a client may take to send a request, also the next one on the same connection: longer
/// than the usual time between scrapes.
const ASK: Duration = Duration::from_secs(75);
/// How long a client may leave a page unread.
const UNREAD: Duration = Duration::from_secs(30);
/// The pause after `accept` has failed, because the process has no file descriptors left, say.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the page of a scrape; called on a thread where it may take its time.
pub type Pages = Arc<dyn Fn(Format, Detail) -> Result<String, Error> + Send + Sync>;

/// A server on an address; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on an address and answers with these pages: everything for those who bring the token,
    /// totals for all others.
    ///
    /// # Errors
    /// When another program listens there, or this host does not have the address.
    pub fn start(
        address: SocketAddr,
        pages: Pages,
        token: watch::Receiver<Option<Token>>,
    ) -> io::Result<Self> {
        let listener = net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let shared = Shared { pages: Arc::new(Mutex::new(pages)), token };
        let task = tokio::spawn(async move {
            keep_polling("the server of metrics", || serve(&listener, shared.clone())).await;
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Shared {
    /// One page is made at a time, so that scrapes cannot take more than one processor.
    pages: Arc<Mutex<Pages>>,
    token: watch::Receiver<Option<Token>>,
}

async fn serve(listener: &TcpListener, shared: Shared) {
    let router = Router::new().route("/metrics", get(scrape)).with_state(shared);
    let router = router.layer(middleware::from_fn(unambiguous));
    let router = TowerToHyperService::new(router);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(ASK);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("cannot accept a connection for metrics: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let connection = http.serve_connection(impatient(stream), router.clone());
        connections.spawn(async move {
            if let Err(error) = connection.await {
                debug!("a connection for metrics failed: {error}");
            }
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

type Stream = TokioIo<std::pin::Pin<Box<TimeoutStream<TcpStream>>>>;

/// A stream that fails once the client has left a page unread for so long.
fn impatient(stream: TcpStream) -> Stream {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(UNREAD));
    TokioIo::new(Box::pin(stream))
}

/// Refuses a request without a valid `Host`.
async fn unambiguous(request: Request, next: Next) -> Response {
    if is_ambiguous(request.version(), request.headers()) {
        return (StatusCode::BAD_REQUEST, "there must be one valid `Host` header\n")
            .into_response();
    }
    next.run(request).await
}

async fn scrape(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = accept.map_or(Format::Plain, Format::preferred);
    let detail = match Claim::of(&headers, shared.token.borrow().as_ref()) {
        Claim::None => Detail::Totals,
        Claim::Holder => Detail::Everything,
        Claim::Wrong => return unauthorized(),
    };
    let pages = shared.pages.lock_owned().await;
    match spawn_blocking(move || pages(format, detail)).await {
        Ok(Ok(page)) => ([(header::CONTENT_TYPE, format.content_type())], page).into_response(),
        Ok(Err(error @ Error::Starting)) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
        Ok(Err(error)) => {
            let error = Chain(&error).to_string();
            warn!("cannot answer a scrape: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, error + "\n").into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn unauthorized() -> Response {
    let text = "this is not the token of `metrics_token_file`; without a token there are totals\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_taken_is_an_error_and_is_free_again_afterwards() {
        let taken = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let pages: Pages = Arc::new(|_, _| Err(Error::Starting));
        let (_token, token) = watch::channel(None);
        let error = Server::start(address, Arc::clone(&pages), token.clone()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(taken);
        assert_eq!(Server::start(address, pages, token).unwrap().address(), address);
    }
}
