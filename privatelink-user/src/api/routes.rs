//! The operations of the API, each behind its path.

mod audit;
mod connections;
mod events;
pub(super) mod flows;
mod gateway;
mod keys;
mod metrics;
mod objects;
mod sites;
mod test;
mod writing;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::time::timeout;
use utoipa::{OpenApi as _, openapi};
use utoipa_axum::router::OpenApiRouter;

use super::{
    admission,
    client::{Calls, PATIENCE},
    document::{Document, complete},
    doorkeeper::Doorkeeper,
    host,
    refusal::Refusal,
};
use crate::interface::path;

/// The operations, and what is common to all of them.
pub(super) fn router(calls: Calls, doorkeeper: Doorkeeper) -> Router {
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
        .layer(middleware::from_fn_with_state(doorkeeper, admission::admit_on_record))
        .layer(middleware::from_fn(bounded))
        .layer(middleware::from_fn(host::unambiguous))
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
        .merge(writing::routes())
        .merge(test::routes())
        .merge(flows::routes())
        .merge(connections::routes())
        .merge(events::routes())
        .merge(metrics::routes())
        .merge(keys::routes())
        .merge(sites::routes())
        .merge(audit::routes())
}

/// Ends a request that takes too long, be it to read or to answer.
async fn bounded(request: Request, next: Next) -> Response {
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
