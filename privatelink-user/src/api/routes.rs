//! The operations of the API, each behind its path.

mod connections;
mod events;
pub(super) mod flows;
mod gateway;
mod objects;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request},
    http::{StatusCode, header::CONTENT_LENGTH},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::time::timeout;
use utoipa::{OpenApi as _, openapi};
use utoipa_axum::router::OpenApiRouter;

use super::{
    client::{Calls, PATIENCE},
    document::{Document, complete},
    refusal::Refusal,
};
use crate::interface::path;

/// The largest request body: the text of a large configuration.
const MAX_BODY: usize = 32 << 20;

/// The operations, and what is common to all of them.
pub(super) fn router(calls: Calls) -> Router {
    let (router, mut document) = operations().with_state(calls).split_for_parts();
    complete(&mut document);
    let description = move || {
        let document = Json(document.clone());
        async { document }
    };
    router
        .route(path::OPENAPI, get(description))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(bounded))
}

/// The OpenAPI document. The description of an operation says who may use it.
pub fn document() -> openapi::OpenApi {
    let mut document = operations().into_openapi();
    complete(&mut document);
    document
}

fn operations() -> OpenApiRouter<Calls> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(gateway::routes())
        .merge(objects::routes())
        .merge(flows::routes())
        .merge(connections::routes())
        .merge(events::routes())
}

/// Refuses a request that is going to be too large, and ends one that takes too long, be it to
/// read or to answer.
async fn bounded(request: Request, next: Next) -> Response {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > MAX_BODY)
    {
        let error = format!("the request body exceeds {} MiB", MAX_BODY >> 20);
        return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error).into_response();
    }
    // A little longer than the wait for the daemon's loop, whose error says more.
    let limit = PATIENCE + Duration::from_secs(2);
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let error = "the request did not arrive in time";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, error).into_response()
    })
}

async fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing under this path")
}

async fn not_allowed() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not accept that method")
}
