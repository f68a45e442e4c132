//! Events, those that have happened and those that will.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::FromRequestParts,
    http::{header::CONTENT_TYPE, request::Parts},
    response::IntoResponse,
};
use futures_util::stream;
use tokio::{sync::watch, time::sleep};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        client::{Calls, Client},
        document::Conflict,
        extract::QueryString,
        refusal::{Answer, Refusal},
        request::Request,
    },
    events::{EventFilter, Kind},
    interface::{
        path,
        types::{Event, EventQuery},
    },
};

/// An empty line is sent after so much silence, to notice that the client is gone.
const SILENCE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new().routes(routes!(events)).routes(routes!(follow))
}

/// The latest events, or those after one that is known
///
/// Principals see those that concern them.
#[utoipa::path(get, path = path::EVENTS, params(EventQuery),
    responses((status = OK, body = Vec<Event>)))]
async fn events(client: Client, wanted: EventFilter) -> Answer<Vec<Event>> {
    Ok(Json(client.ask(|reply| Request::Events(wanted, reply)).await?.events))
}

/// The latest events, and all later ones as they happen, one per line without an end
///
/// Principals see those that concern them.
#[utoipa::path(get, path = path::FOLLOW, params(EventQuery), responses(
    (status = OK, body = String, content_type = "application/x-ndjson"), Conflict))]
async fn follow(client: Client, wanted: EventFilter) -> Result<impl IntoResponse, Refusal> {
    let latest = client.ask(Request::Follow).await?;
    let follower = Follower { client, wanted, latest };
    let lines = stream::unfold(follower, |mut follower| async {
        let lines = follower.next().await?;
        Some((Ok::<_, Infallible>(lines), follower))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)))
}

/// The events that a query string asks for.
impl<S: Send + Sync> FromRequestParts<S> for EventFilter {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let QueryString(query) = QueryString::from_request_parts(parts, state).await?;
        wanted(query).map_err(Refusal::invalid)
    }
}

fn wanted(query: EventQuery) -> Result<EventFilter, String> {
    let limit = query.limit.unwrap_or(EventQuery::DEFAULT_LIMIT);
    if !(1..=EventQuery::MAX_LIMIT).contains(&limit) {
        return Err(format!("`limit` must be from 1 to {}", EventQuery::MAX_LIMIT));
    }
    if let Some(kind) = query.kind.as_ref().filter(|kind| !Kind::is_word(kind)) {
        return Err(format!("there are no events of the kind `{kind}`"));
    }
    Ok(EventFilter { after: query.after, kind: query.kind, limit: limit as usize })
}

/// A client that is sent events as they happen.
struct Follower {
    client: Client,
    wanted: EventFilter,
    latest: watch::Receiver<u64>,
}

impl Follower {
    /// The next lines; `None` at the end, because the daemon ends or because the client has lost
    /// its rights, which the daemon checks each time.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let complete =
                |wanted: &EventFilter, latest: u64| wanted.after.is_some_and(|a| a >= latest);
            while complete(&self.wanted, *self.latest.borrow_and_update()) {
                tokio::select! {
                    changed = self.latest.changed() => changed.ok()?,
                    () = self.client.daemon_ended() => return None,
                    () = sleep(SILENCE) => return Some(Bytes::from_static(b"\n")),
                }
            }
            let wanted = self.wanted.clone();
            let found = self.client.ask(|reply| Request::Events(wanted, reply)).await.ok()?;
            self.wanted.after = Some(found.complete_to);
            let mut lines = Vec::new();
            for event in &found.events {
                serde_json::to_writer(&mut lines, event).ok()?;
                lines.push(b'\n');
            }
            if !lines.is_empty() {
                return Some(lines.into());
            }
        }
    }
}
