//! Operations on the gateway as a whole.

use axum::Json;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        admission::Administrator,
        client::{Calls, Client},
        document::{Conflict, Faulty},
        extract::{self, JsonBody, QueryString},
        refusal::Answer,
        request::Request,
    },
    interface::{
        path,
        types::{Configuration, Difference, Fleet, ReloadQuery, Status, Stopped},
    },
};

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(fleet))
        .routes(routes!(plan))
        .routes(routes!(reload))
        .routes(routes!(grow))
        .routes(routes!(down))
}

/// What the gateway is doing
///
/// Principals see what is theirs.
#[utoipa::path(get, path = path::STATUS, responses((status = OK, body = Status), Conflict))]
async fn status(client: Client) -> Answer<Status> {
    Ok(Json(client.ask_with_counts(Request::Status).await?))
}

/// The gateways that share this one's store, and how far each has come
///
/// Administrators only; refused by a gateway that shares its state with none.
#[utoipa::path(get, path = path::FLEET, responses((status = OK, body = Fleet), Conflict))]
async fn fleet(client: Client) -> Answer<Fleet> {
    Ok(Json(client.ask(Request::Fleet).await?))
}

/// What a configuration would change; nothing is applied
///
/// Administrators only.
#[utoipa::path(post, path = path::PLAN, request_body = Configuration,
    responses((status = OK, body = Difference), Conflict, Faulty))]
async fn plan(
    client: Client,
    _: Administrator,
    JsonBody(configuration): JsonBody<Configuration>,
) -> Answer<Difference> {
    Ok(Json(client.ask(|reply| Request::Plan(configuration, reply)).await?))
}

/// Applies the configuration on disk, and says what that changed
///
/// Administrators only.
#[utoipa::path(post, path = path::RELOAD, params(ReloadQuery),
    responses((status = OK, body = Difference), Conflict, Faulty))]
async fn reload(
    client: Client,
    QueryString(query): QueryString<ReloadQuery>,
) -> Answer<Difference> {
    let adopt = extract::flag("adopt", query.adopt)?;
    Ok(Json(client.ask(|reply| Request::Reload(adopt, reply)).await?))
}

/// Makes the flow table as large as `max_flows` asks, and keeps its flows
///
/// The daemon starts again for that, in the same process, and answers no more requests until it
/// has. Packets are forwarded meanwhile. Administrators only.
#[utoipa::path(post, path = path::GROW, responses((status = OK, body = ()), Conflict))]
async fn grow(client: Client) -> Answer<()> {
    Ok(Json(client.ask(Request::Grow).await?))
}

/// Stops forwarding, removes all that is pinned, and ends the daemon
///
/// Administrators only.
#[utoipa::path(post, path = path::DOWN, responses((status = OK, body = Stopped), Conflict))]
async fn down(client: Client) -> Answer<Stopped> {
    Ok(Json(client.ask(Request::Down).await?))
}
