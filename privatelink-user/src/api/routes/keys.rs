//! Access keys.

use axum::Json;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        client::{Calls, Client},
        document::{Absent, Conflict},
        extract::{JsonBody, PathName},
        refusal::{Answer, Refusal},
        request::Request,
    },
    interface::{
        path,
        types::{AccessKey, MadeKey, NewKey},
    },
    state::keys::KeyId,
};

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new().routes(routes!(keys, make)).routes(routes!(revoke))
}

/// The access keys, without their secrets
///
/// Principals see those that act for them.
#[utoipa::path(get, path = path::KEYS, responses((status = OK, body = Vec<AccessKey>)))]
async fn keys(client: Client) -> Answer<Vec<AccessKey>> {
    Ok(Json(client.ask(Request::Keys).await?))
}

/// Makes an access key; the answer alone has its secret
///
/// Administrators for anyone, a principal for itself: never with more rights than the caller, and
/// for no longer than the key that it is made with.
#[utoipa::path(post, path = path::KEYS, request_body = NewKey,
    responses((status = OK, body = MadeKey), Absent, Conflict))]
async fn make(client: Client, JsonBody(wanted): JsonBody<NewKey>) -> Answer<MadeKey> {
    let period = wanted.expires_in_seconds;
    if period.is_some_and(|seconds| !(1..=NewKey::LONGEST).contains(&seconds)) {
        let error = format!("`expires_in_seconds` must be from 1 to {}", NewKey::LONGEST);
        return Err(Refusal::invalid(error));
    }
    if wanted.administrator == wanted.principal.is_some() {
        let error = "name a `principal`, or set `administrator`";
        return Err(Refusal::invalid(error));
    }
    Ok(Json(client.ask(|reply| Request::MakeKey(wanted, reply)).await?))
}

/// Revokes an access key at once
///
/// Administrators and the principal that the key acts for.
#[utoipa::path(delete, path = path::KEY, params(("id" = String, Path)),
    responses((status = OK, body = AccessKey), Conflict))]
async fn revoke(client: Client, PathName(id): PathName) -> Answer<AccessKey> {
    let id: KeyId = id.parse().map_err(|_| Refusal::absent("key", &id))?;
    Ok(Json(client.ask(|reply| Request::RevokeKey(id, reply)).await?))
}
