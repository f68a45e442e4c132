//! The OpenAPI document: what handlers do not have to say about their operations.
//!
//! Which refusals an operation may meet follows from what it takes, so [`complete`] adds those. A
//! handler lists its answer, and [`Conflict`], [`Absent`] or [`Faulty`] where the daemon may refuse.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::{
    IntoResponses, OpenApi, ToSchema as _,
    openapi::{
        self, Content, Ref, RefOr, Response,
        path::{Operation, Parameter, ParameterIn, PathItem},
    },
};

use crate::interface::types::Problem;

/// The document before operations are added to it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "privatelink",
        description = "The control interface of a gateway, over its unix socket or HTTPS."
    ),
    components(schemas(Problem))
)]
pub(super) struct Document;

/// The daemon cannot do it now.
pub(super) struct Conflict;
/// What the query names does not exist.
pub(super) struct Absent;
/// The configuration or an object is refused.
pub(super) struct Faulty;

impl IntoResponses for Conflict {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        one(StatusCode::CONFLICT, "")
    }
}

impl IntoResponses for Absent {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        one(StatusCode::NOT_FOUND, "")
    }
}

/// The object is not as the request expects.
pub(super) struct Unexpected;

impl IntoResponses for Unexpected {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        one(StatusCode::PRECONDITION_FAILED, "The object is not as the request expects")
    }
}

impl IntoResponses for Faulty {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        one(StatusCode::UNPROCESSABLE_ENTITY, "The configuration, or the object, is faulty")
    }
}

fn one(code: StatusCode, description: &str) -> BTreeMap<String, RefOr<Response>> {
    [(code.as_str().to_owned(), RefOr::T(refusal(description)))].into()
}

/// A response that says why the request is not fulfilled.
fn refusal(description: &str) -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    let mut response = Response::new(description);
    response.content.insert("application/json".to_owned(), Content::new(Some(schema)).into());
    response
}

/// Adds the refusals that follow from what operations take.
pub(super) fn complete(document: &mut openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, patch, .. } = item;
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            for code in refusals(operation) {
                let responses = &mut operation.responses.responses;
                responses.entry(code.as_str().to_owned()).or_insert_with(|| refusal("").into());
            }
        }
    }
}

/// The codes of the refusals that an operation may meet before the daemon looks at it.
fn refusals(operation: &Operation) -> Vec<StatusCode> {
    let mut codes = vec![
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    let parameters: Vec<&Parameter> = operation
        .parameters
        .iter()
        .flatten()
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
        .collect();
    if !parameters.is_empty() || operation.request_body.is_some() {
        codes.push(StatusCode::BAD_REQUEST);
    }
    if parameters.iter().any(|parameter| parameter.parameter_in == ParameterIn::Path) {
        codes.push(StatusCode::NOT_FOUND);
    }
    if operation.request_body.is_some() {
        codes.extend([
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ]);
    }
    codes
}
