//! Connections, and decisions about them.

use std::time::Duration;

use axum::Json;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        client::{Calls, Client},
        document::Conflict,
        extract::{JsonBody, PathName, QueryString},
        page::Page,
        refusal::{Answer, Refusal},
        request::Request,
    },
    interface::{
        path,
        types::{Connection, Grant, PageQuery, Reasoned},
    },
    model::{Url, redacted},
    state::connection::Decision,
};

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new()
        .routes(routes!(connections))
        .routes(routes!(connection))
        .routes(routes!(accept))
        .routes(routes!(reject))
        .routes(routes!(request))
}

/// The connections, by endpoint
///
/// Principals see those of which they are consumer or provider.
#[utoipa::path(get, path = path::CONNECTIONS, params(PageQuery),
    responses((status = OK, body = Vec<Connection>)))]
async fn connections(
    client: Client,
    QueryString(page): QueryString<PageQuery>,
) -> Result<Page<Connection>, Refusal> {
    let all = client.ask(Request::Connections).await?;
    Page::of(all, path::CONNECTIONS, &page, |one| one.endpoint.clone())
}

/// One connection, with its history
///
/// Its consumer, its provider and administrators.
#[utoipa::path(get, path = path::CONNECTION, params(("endpoint" = String, Path)),
    responses((status = OK, body = Connection)))]
async fn connection(client: Client, PathName(endpoint): PathName) -> Answer<Connection> {
    Ok(Json(client.ask(|reply| Request::Connection(endpoint, reply)).await?))
}

/// Accepts a connection: the provider's decision
///
/// Its provider and administrators.
#[utoipa::path(post, path = path::ACCEPT, params(("endpoint" = String, Path)),
    request_body = Grant, responses((status = OK, body = Connection), Conflict))]
async fn accept(
    client: Client,
    PathName(endpoint): PathName,
    JsonBody(grant): JsonBody<Grant>,
) -> Answer<Connection> {
    if grant.for_seconds.is_some_and(|period| !(1..=Grant::LONGEST).contains(&period)) {
        let error = format!("`for_seconds` must be from 1 to {}", Grant::LONGEST);
        return Err(Refusal::invalid(error));
    }
    let accept = Decision::Accept { period: grant.for_seconds.map(Duration::from_secs) };
    decide(&client, endpoint, accept, grant.reason).await
}

/// Rejects a connection: the provider's decision
///
/// Its provider and administrators.
#[utoipa::path(post, path = path::REJECT, params(("endpoint" = String, Path)),
    request_body = Reasoned, responses((status = OK, body = Connection), Conflict))]
async fn reject(
    client: Client,
    PathName(endpoint): PathName,
    JsonBody(body): JsonBody<Reasoned>,
) -> Answer<Connection> {
    decide(&client, endpoint, Decision::Reject, body.reason).await
}

/// Requests a connection again that has expired
///
/// Its consumer and administrators.
#[utoipa::path(post, path = path::REQUEST, params(("endpoint" = String, Path)),
    request_body = Reasoned, responses((status = OK, body = Connection), Conflict))]
async fn request(
    client: Client,
    PathName(endpoint): PathName,
    JsonBody(body): JsonBody<Reasoned>,
) -> Answer<Connection> {
    decide(&client, endpoint, Decision::Request, body.reason).await
}

async fn decide(
    client: &Client,
    endpoint: String,
    decision: Decision,
    reason: Option<String>,
) -> Answer<Connection> {
    let reason = reason.unwrap_or_default();
    // It is kept, shown and logged on a line of its own.
    if reason.len() > Reasoned::LONGEST || reason.chars().any(char::is_control) {
        let error = format!(
            "`reason` must be one line of at most {} bytes, without control characters",
            Reasoned::LONGEST
        );
        return Err(Refusal::invalid(error));
    }
    // It is shown to both parties, logged and sent to subscribers.
    let reason = redacted(&reason, Url::Query);
    Ok(Json(client.ask(|reply| Request::Decide(endpoint, decision, reason, reply)).await?))
}
