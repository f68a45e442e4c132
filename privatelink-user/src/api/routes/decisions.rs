//! The paths of connections, and of what is decided about them.

use std::time::Duration;

use axum::{extract::State, http::StatusCode, response::Response};
use tokio::sync::mpsc;

use super::{Body, Name, Requests, answer, ask, problem};
use crate::{
    access::Peer,
    api::request::{Question, Request},
    interface::{
        path,
        types::{Connection, Grant, Problem, Reasoned},
    },
    state::connection::Decision,
};

/// The connections, by endpoint
#[utoipa::path(get, path = path::CONNECTIONS, responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Vec<Connection>),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
pub(super) async fn connections(peer: Peer, State(requests): Requests) -> Response {
    answer(ask(&requests, &peer, Request::Connections).await)
}

/// One connection, with its history
#[utoipa::path(get, path = "/v1/connections/{endpoint}", params(("endpoint" = String, Path)),
    responses(
        (status = FORBIDDEN, body = Problem), (status = OK, body = Connection),
        (status = NOT_FOUND, body = Problem), (status = BAD_REQUEST, body = Problem),
        (status = SERVICE_UNAVAILABLE, body = Problem),
    ))]
pub(super) async fn connection(
    peer: Peer,
    State(requests): Requests,
    Name(endpoint): Name,
) -> Response {
    answer(ask(&requests, &peer, |reply| Request::Connection(endpoint, reply)).await)
}

/// Accepts a connection: the provider's decision
#[utoipa::path(post, path = "/v1/connections/{endpoint}/accept",
    params(("endpoint" = String, Path)), request_body = Grant, responses(
        (status = FORBIDDEN, body = Problem), (status = OK, body = Connection),
        (status = NOT_FOUND, body = Problem), (status = BAD_REQUEST, body = Problem),
        (status = CONFLICT, body = Problem), (status = PAYLOAD_TOO_LARGE, body = Problem),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
        (status = SERVICE_UNAVAILABLE, body = Problem),
    ))]
pub(super) async fn accept(
    peer: Peer,
    State(requests): Requests,
    Name(endpoint): Name,
    Body(grant): Body<Grant>,
) -> Response {
    if grant.for_seconds.is_some_and(|period| !(1..=Grant::LONGEST).contains(&period)) {
        let error = format!("`for_seconds` must be from 1 to {}", Grant::LONGEST);
        return problem(StatusCode::BAD_REQUEST, error);
    }
    let accept = Decision::Accept { period: grant.for_seconds.map(Duration::from_secs) };
    decide(&requests, &peer, endpoint, accept, grant.reason).await
}

/// Rejects a connection: the provider's decision
#[utoipa::path(post, path = "/v1/connections/{endpoint}/reject",
    params(("endpoint" = String, Path)), request_body = Reasoned, responses(
        (status = FORBIDDEN, body = Problem), (status = OK, body = Connection),
        (status = NOT_FOUND, body = Problem), (status = BAD_REQUEST, body = Problem),
        (status = CONFLICT, body = Problem), (status = PAYLOAD_TOO_LARGE, body = Problem),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
        (status = SERVICE_UNAVAILABLE, body = Problem),
    ))]
pub(super) async fn reject(
    peer: Peer,
    State(requests): Requests,
    Name(endpoint): Name,
    Body(given): Body<Reasoned>,
) -> Response {
    decide(&requests, &peer, endpoint, Decision::Reject, given.reason).await
}

/// Asks once more for a connection that has expired: the consumer's part
#[utoipa::path(post, path = "/v1/connections/{endpoint}/request",
    params(("endpoint" = String, Path)), request_body = Reasoned, responses(
        (status = FORBIDDEN, body = Problem), (status = OK, body = Connection),
        (status = NOT_FOUND, body = Problem), (status = BAD_REQUEST, body = Problem),
        (status = CONFLICT, body = Problem), (status = PAYLOAD_TOO_LARGE, body = Problem),
        (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
        (status = SERVICE_UNAVAILABLE, body = Problem),
    ))]
pub(super) async fn request(
    peer: Peer,
    State(requests): Requests,
    Name(endpoint): Name,
    Body(given): Body<Reasoned>,
) -> Response {
    decide(&requests, &peer, endpoint, Decision::Request, given.reason).await
}

async fn decide(
    requests: &mpsc::Sender<Question>,
    peer: &Peer,
    endpoint: String,
    decision: Decision,
    reason: Option<String>,
) -> Response {
    let reason = reason.unwrap_or_default();
    // It is kept, shown and logged on a line of its own.
    if reason.len() > Reasoned::LONGEST || reason.chars().any(char::is_control) {
        let error = format!(
            "`reason` must be one line of at most {} bytes, without control characters",
            Reasoned::LONGEST
        );
        return problem(StatusCode::BAD_REQUEST, error);
    }
    answer(ask(requests, peer, |reply| Request::Decide(endpoint, decision, reason, reply)).await)
}
