//! The test of an endpoint's way.

use axum::{Json, http::StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        client::{Calls, Client},
        document::{Absent, Conflict},
        extract::{PathName, QueryString},
        refusal::{Answer, Refusal},
        request::Request,
    },
    interface::{
        path,
        types::{EndpointTest, TestQuery},
    },
    trial::Failure,
};

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new().routes(routes!(test))
}

/// Walks an endpoint's way, and says which step fails, whose it is and what to do
///
/// Its consumer, its provider and administrators; each party sees its own side, and whether the other
/// one passes. Nothing is changed.
#[utoipa::path(post, path = path::ENDPOINT_TEST, params(("name" = String, Path), TestQuery),
    responses((status = OK, body = EndpointTest), Absent, Conflict))]
async fn test(
    client: Client,
    PathName(name): PathName,
    QueryString(query): QueryString<TestQuery>,
) -> Answer<EndpointTest> {
    if query.port == Some(0) {
        return Err(Refusal::invalid("`port` must be from 1 to 65535"));
    }
    let trial = client.ask(|reply| Request::Test(name, query, reply)).await?;
    let tested = trial.run().await;
    let failed = |error: Failure| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    tested.map(Json).map_err(failed)
}
