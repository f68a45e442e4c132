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
        one(StatusCode::CONFLICT)
    }
}

impl IntoResponses for Absent {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        one(StatusCode::NOT_FOUND)
    }
}

/// The object is not as the request expects.
pub(super) struct Unexpected;

impl IntoResponses for Unexpected {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        one(StatusCode::PRECONDITION_FAILED)
    }
}

impl IntoResponses for Faulty {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        one(StatusCode::UNPROCESSABLE_ENTITY)
    }
}

fn one(code: StatusCode) -> BTreeMap<String, RefOr<Response>> {
    [(code.as_str().to_owned(), RefOr::T(refusal()))].into()
}

/// A response that says why the request is not fulfilled.
fn refusal() -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    let mut response = Response::new("");
    response.content.insert("application/json".to_owned(), Content::new(Some(schema)).into());
    response
}

/// Adds the refusals that follow from what operations take, and the description that OpenAPI
/// requires of each response.
pub(super) fn complete(document: &mut openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, patch, .. } = item;
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            for code in refusals(operation) {
                let responses = &mut operation.responses.responses;
                responses.entry(code.as_str().to_owned()).or_insert_with(|| refusal().into());
            }
            for (code, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = description(code).to_owned();
                }
            }
        }
    }
}

/// What a response with this code says, whatever the operation.
fn description(code: &str) -> &'static str {
    match code {
        "200" => "It is done",
        "202" => "It has begun",
        "204" => "It is done, and there is nothing to say about it",
        "304" => "It has not changed",
        "400" => "The request is malformed",
        "401" => "The caller is not identified",
        "403" => "The caller has no right to it",
        "404" => "There is nothing of this name",
        "408" => "The request did not arrive in time",
        "409" => "The daemon cannot do it now",
        "412" => "The object is not as the request expects",
        "413" => "The body of the request is too large",
        "415" => "The body of the request is not JSON",
        "422" => "The configuration, or the object, is faulty",
        "429" => "The caller has too many requests under way",
        "503" => "The daemon is starting, ending or busy",
        _ => "See the body",
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
