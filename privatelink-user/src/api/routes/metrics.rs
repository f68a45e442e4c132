//! Metrics by the caller's rights.

use axum::http::{
    HeaderMap,
    header::{ACCEPT, CONTENT_TYPE},
};
use axum::response::IntoResponse;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        client::{Calls, Client},
        document::Conflict,
        refusal::Refusal,
        request::Request,
    },
    interface::path,
};

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// The metrics, in a text format of Prometheus
///
/// Principals see the series of what is theirs.
#[utoipa::path(get, path = path::METRICS, responses(
    (status = OK, body = String, content_type = "text/plain"), Conflict))]
async fn metrics(client: Client, headers: HeaderMap) -> Result<impl IntoResponse, Refusal> {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let accept = accept.unwrap_or_default().to_owned();
    let page = client.ask(|reply| Request::Metrics(accept, reply)).await?;
    Ok(([(CONTENT_TYPE, page.content_type)], page.text))
}
