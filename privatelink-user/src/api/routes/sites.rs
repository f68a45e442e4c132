//! The backbone: other sites, and this site's keys.

use axum::Json;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        client::{Calls, Client},
        document::Conflict,
        extract::JsonBody,
        refusal::Answer,
        request::Request,
    },
    interface::{
        path,
        types::{Backbone, RotateSiteKey, SiteKeyRotation},
    },
};

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new().routes(routes!(sites)).routes(routes!(rotate))
}

/// This site, and its links to others
///
/// Administrators only.
#[utoipa::path(get, path = path::SITES, responses((status = OK, body = Backbone), Conflict))]
async fn sites(client: Client) -> Answer<Backbone> {
    Ok(Json(client.ask(Request::Sites).await?))
}

/// Prepares this site's next key, and uses it once every other site lists it
///
/// Asked again, it answers with the same key. Administrators only.
#[utoipa::path(post, path = path::ROTATE_SITE_KEY, request_body = RotateSiteKey,
    responses((status = OK, body = SiteKeyRotation), Conflict))]
async fn rotate(
    client: Client,
    JsonBody(wanted): JsonBody<RotateSiteKey>,
) -> Answer<SiteKeyRotation> {
    Ok(Json(client.ask(|reply| Request::RotateSiteKey(wanted.force, reply)).await?))
}
