//! Requests to the cluster: whichever member answers, until a deadline.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use rustls::ClientConfig;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Revision,
    connection::Connection,
    endpoint::Endpoint,
    entry::{Entry, Snapshot, prefix_end},
    error::Error,
    transaction::{Committed, Transaction},
    watch::Watch,
    wire::{
        Acknowledged, LeaseGrantRequest, LeaseRequest, LeaseResponse, RangeRequest, RangeResponse,
        TxnRequest, TxnResponse,
    },
};

/// How long one member may take to answer before the next one is asked.
const ATTEMPT: Duration = Duration::from_secs(1);
/// The time between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// How many keys one answer holds at most.
const PAGE: i64 = 1_000;

/// Keys that are put under it vanish when it is not kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub id: i64,
    /// How long it lasts without being kept alive.
    pub period: Duration,
}

/// A client of the cluster. It talks to one member, and turns to the next when that one fails.
#[derive(Debug)]
pub struct Client {
    endpoints: Vec<Endpoint>,
    tls: Option<Arc<ClientConfig>>,
    /// Which member is asked.
    current: usize,
    connection: Option<Connection>,
}

impl Client {
    /// A client of these members, which are asked in this order. Connects when it is used.
    pub fn new(endpoints: Vec<Endpoint>, tls: Option<ClientConfig>) -> Self {
        let tls = tls.map(|mut tls| {
            tls.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(tls)
        });
        Self { endpoints, tls, current: 0, connection: None }
    }

    /// Reads all keys below a prefix, as they were at one moment.
    ///
    /// # Errors
    /// When no member answers in time, or the user may not read there.
    pub async fn read(&mut self, prefix: &str, limit: Duration) -> Result<Snapshot, Error> {
        let deadline = Instant::now() + limit;
        let range_end = prefix_end(prefix);
        let mut from = Bytes::copy_from_slice(prefix.as_bytes());
        let mut all = Snapshot::default();
        loop {
            let page = RangeRequest {
                key: from,
                range_end: range_end.clone(),
                limit: PAGE,
                revision: all.revision,
            };
            let page: RangeResponse = self.call("KV/Range", &page, deadline).await?;
            if all.revision == 0 {
                all.revision = page.header.map_or(0, |header| header.revision);
            }
            let last = page.kvs.last().map(|kv| kv.key.clone());
            all.entries.extend(page.kvs.into_iter().map(Entry::from));
            let Some(last) = last.filter(|_| page.more) else { return Ok(all) };
            // The least key after the last one.
            from = [&last[..], &[0]].concat().into();
        }
    }

    /// Makes a transaction.
    ///
    /// It is sent again when a member fails. If it had been made by then, though the answer was
    /// lost, its guards no longer hold: so each key that is written must have one, unless it does
    /// not matter whether it is written twice.
    ///
    /// # Errors
    /// When no member answers in time, which leaves open whether it was made; or when it was
    /// refused.
    pub async fn commit(
        &mut self,
        transaction: Transaction,
        limit: Duration,
    ) -> Result<Committed, Error> {
        let deadline = Instant::now() + limit;
        let request = TxnRequest::from(transaction);
        let answer: TxnResponse = self.call("KV/Txn", &request, deadline).await?;
        Ok(answer.into())
    }

    /// Begins a watch of all keys below a prefix, from a revision on.
    ///
    /// # Errors
    /// When no member begins one in time; [`Error::Compacted`] if etcd has forgotten the revision,
    /// which the watch itself may report as well.
    pub async fn watch(
        &mut self,
        prefix: &str,
        from: Revision,
        limit: Duration,
    ) -> Result<Watch, Error> {
        let deadline = Instant::now() + limit;
        loop {
            let begun = async {
                let connection = self.connected().await?;
                Watch::begin(connection, prefix, from).await
            };
            let limit = left(deadline).min(ATTEMPT);
            let error = match timeout(limit, begun).await {
                Ok(Ok(watch)) => return Ok(watch),
                Ok(Err(error)) if !error.is_passing() => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => self.silent(limit),
            };
            self.turn_to_next(error, deadline).await?;
        }
    }

    /// Asks for a lease; etcd may make it last longer.
    ///
    /// # Errors
    /// When no member answers in time.
    pub async fn grant(&mut self, period: Duration, limit: Duration) -> Result<Lease, Error> {
        let ttl = i64::try_from(period.as_secs().max(1)).unwrap_or(i64::MAX);
        let request = LeaseGrantRequest { ttl, id: 0 };
        let deadline = Instant::now() + limit;
        let lease: LeaseResponse = self.call("Lease/LeaseGrant", &request, deadline).await?;
        Ok(Lease { id: lease.id, period: seconds(lease.ttl) })
    }

    /// Keeps a lease alive; `None` if it has ended.
    ///
    /// # Errors
    /// When no member answers in time.
    pub async fn keep_alive(&mut self, id: i64, limit: Duration) -> Result<Option<Lease>, Error> {
        let deadline = Instant::now() + limit;
        let request = LeaseRequest { id };
        let lease: LeaseResponse = self.call("Lease/LeaseKeepAlive", &request, deadline).await?;
        Ok((lease.ttl > 0).then(|| Lease { id, period: seconds(lease.ttl) }))
    }

    /// Ends a lease, and with it all of its keys.
    ///
    /// # Errors
    /// When no member answers in time, or there is no such lease.
    pub async fn revoke(&mut self, id: i64, limit: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        let request = LeaseRequest { id };
        let Acknowledged {} = self.call("Lease/LeaseRevoke", &request, deadline).await?;
        Ok(())
    }

    /// The member that is asked now.
    pub fn member(&self) -> String {
        self.endpoints.get(self.current).map(ToString::to_string).unwrap_or_default()
    }

    async fn call<A, R>(&mut self, method: &str, message: &A, deadline: Instant) -> Result<R, Error>
    where
        A: Message,
        R: Message + Default,
    {
        loop {
            let attempt = async { self.connected().await?.call(method, message).await };
            let limit = left(deadline).min(ATTEMPT);
            let error = match timeout(limit, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if !error.is_passing() => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => self.silent(limit),
            };
            self.turn_to_next(error, deadline).await?;
        }
    }

    async fn connected(&mut self) -> Result<&mut Connection, Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let none =
                    || Error::Lost { member: "etcd".into(), cause: "no member is named".into() };
                let endpoint = self.endpoints.get(self.current).ok_or_else(none)?;
                Connection::open(endpoint, self.tls.as_ref()).await?
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Turns to the next member after a moment; fails with `error` if there is no time for that.
    async fn turn_to_next(&mut self, error: Error, deadline: Instant) -> Result<(), Error> {
        self.connection = None;
        self.current = (self.current + 1) % self.endpoints.len().max(1);
        if left(deadline) <= PAUSE {
            return Err(error);
        }
        sleep(PAUSE).await;
        Ok(())
    }

    fn silent(&self, limit: Duration) -> Error {
        Error::Silent { member: self.member(), milliseconds: limit.as_millis() }
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_member_the_deadline_ends_a_call() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let mut client = Client::new(vec![silent], None);
        let begun = Instant::now();
        let error = client.read("/", Duration::from_millis(200)).await.unwrap_err();
        assert!(error.is_passing() && error.to_string().contains("has not answered"), "{error}");
        assert!(begun.elapsed() < ATTEMPT, "{:?}", begun.elapsed());
        let error = Client::new(Vec::new(), None).read("/", PAUSE).await.unwrap_err();
        assert!(error.to_string().contains("no member"), "{error}");
    }
}
