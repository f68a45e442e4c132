//! The paths of events.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{FromRequestParts, State},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{Question, Requests, ask, problem};
use crate::{
    access::Peer,
    api::request::{Question as Asked, Request},
    events::{EventFilter, Kind},
    interface::{
        path,
        types::{Event, EventQuery, Problem},
    },
};

/// An empty line is sent after so much silence, so that a follower that is gone is noticed.
const SILENCE: Duration = Duration::from_secs(15);

/// The latest events, or those after one that is known
#[utoipa::path(get, path = path::EVENTS, params(EventQuery), responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Vec<Event>), (status = BAD_REQUEST, body = Problem),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
pub(super) async fn events(peer: Peer, State(requests): Requests, wanted: EventFilter) -> Response {
    match ask(&requests, &peer, |reply| Request::Events(wanted, reply)).await {
        Ok(found) => Json(found.events).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// The latest events and all later ones as they happen, one a line; there is no end to them
#[utoipa::path(get, path = path::FOLLOW, params(EventQuery), responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = String, content_type = "application/x-ndjson"),
    (status = BAD_REQUEST, body = Problem), (status = CONFLICT, body = Problem),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
pub(super) async fn follow(peer: Peer, State(requests): Requests, wanted: EventFilter) -> Response {
    let latest = match ask(&requests, &peer, Request::Follow).await {
        Ok(latest) => latest,
        Err(refusal) => return refusal.into_response(),
    };
    let follower = Follower { peer, requests, wanted, latest };
    let lines = stream::unfold(follower, |mut follower| async {
        let lines = follower.next().await?;
        Some((Ok::<_, Infallible>(lines), follower))
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// What stands behind the question mark, if it is sound.
impl<S: Send + Sync> FromRequestParts<S> for EventFilter {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Question(query) = Question::from_request_parts(parts, state).await?;
        wanted(query).map_err(|error| problem(StatusCode::BAD_REQUEST, error))
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

/// Somebody who hears of events as they happen.
struct Follower {
    peer: Peer,
    requests: mpsc::Sender<Asked>,
    wanted: EventFilter,
    latest: watch::Receiver<u64>,
}

impl Follower {
    /// The next lines; `None` if there will be no more, since the daemon ends or the follower has
    /// lost its rights, which are looked at anew each time.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let complete =
                |wanted: &EventFilter, latest: u64| wanted.after.is_some_and(|a| a >= latest);
            while complete(&self.wanted, *self.latest.borrow_and_update()) {
                tokio::select! {
                    changed = self.latest.changed() => changed.ok()?,
                    () = self.requests.closed() => return None,
                    () = sleep(SILENCE) => return Some(Bytes::from_static(b"\n")),
                }
            }
            let wanted = self.wanted.clone();
            let asked = ask(&self.requests, &self.peer, |reply| Request::Events(wanted, reply));
            let found = asked.await.ok()?;
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
