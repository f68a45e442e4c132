//! The client that sent a request, and its way to the daemon's loop.
//!
//! Handlers hold no state: each request goes to the daemon's loop, which owns all of it, and the
//! answer comes back. So no answer shows a change that is half made, and nothing needs a lock.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use super::{
    refusal::Refusal,
    request::{Call, Reply, Request, TargetCounts},
};
use crate::{access::Identity, view::flows::by_target};

/// How long a request waits for the daemon's loop: longer than that is ever busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Where the daemon's loop gets its calls from.
pub(super) type Calls = mpsc::Sender<Call>;

/// The only way to the daemon's loop, and there is none without saying who asks.
pub(super) struct Client {
    identity: Identity,
    calls: Calls,
}

impl Client {
    /// Asks the daemon's loop, and waits for its answer.
    pub async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Refusal> {
        let (reply, answer) = Reply::channel();
        let exchange = async {
            let outcome = reply.outcome();
            let call = Call { from: self.identity.clone(), outcome, request: request(reply) };
            self.calls.send(call).await.ok()?;
            answer.await.ok()
        };
        match timeout(PATIENCE, exchange).await {
            Ok(Some(answer)) => Ok(answer?),
            Ok(None) => Err(Refusal::ending()),
            Err(_) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy")),
        }
    }

    /// Asks as [`ask`](Self::ask) does, with how many flows each target has. They are counted here: a
    /// walk through a large flow table would hold up the daemon's loop.
    pub async fn ask_with_counts<T>(
        &self,
        request: impl FnOnce(TargetCounts, Reply<T>) -> Request,
    ) -> Result<T, Refusal> {
        let reader = self.ask(Request::Reader).await?;
        let count = move || reader.map(|reader| by_target(reader.flows())).unwrap_or_default();
        let counts = spawn_blocking(count).await.map_err(|_| Refusal::ending())?;
        self.ask(|reply| request(counts, reply)).await
    }

    /// Waits until the daemon's loop has ended.
    pub async fn daemon_ended(&self) {
        self.calls.closed().await;
    }
}

impl FromRequestParts<Calls> for Client {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, calls: &Calls) -> Result<Self, Refusal> {
        let identity = Identity::from_request_parts(parts, calls).await?;
        Ok(Self { identity, calls: calls.clone() })
    }
}
