//! The parts of a request that handlers take. Each refuses in JSON what it cannot read.

use std::time::Duration;

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::interface::types::WriteHead;

/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(10);

/// The name in a path.
pub(super) struct PathName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(error) => Err(Refusal::invalid(error.body_text())),
        }
    }
}

/// The two names in a path.
pub(super) struct PathNames(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathNames {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path((first, second))) => Ok(Self(first, second)),
            Err(error) => Err(Refusal::invalid(error.body_text())),
        }
    }
}

/// The conditions in the head of a request.
pub(super) struct Head(pub WriteHead);

impl<S: Send + Sync> FromRequestParts<S> for Head {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let text = |name: &str| match parts.headers.get(name).map(HeaderValue::to_str) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text.to_owned())),
            Some(Err(_)) => Err(Refusal::invalid(format!("the header `{name}` is not text"))),
        };
        Ok(Self(WriteHead {
            if_match: text("if-match")?,
            if_none_match: text("if-none-match")?,
            idempotency_key: text("idempotency-key")?,
        }))
    }
}

/// A parameter that is 0 or 1.
pub(super) fn flag(name: &str, value: Option<u8>) -> Result<bool, Refusal> {
    match value {
        None | Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(_) => Err(Refusal::invalid(format!("`{name}` must be 0 or 1"))),
    }
}

/// The query string, as a type of the interface.
pub(super) struct QueryString<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryString<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(Refusal::invalid(error.body_text())),
        }
    }
}

/// The body, as a type of the interface.
pub(super) struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = timeout(BODY, Json::from_request(request, state)).await;
        let late = || {
            let error = format!("the request body did not arrive within {} s", BODY.as_secs());
            Refusal::new(StatusCode::REQUEST_TIMEOUT, error)
        };
        match body.map_err(|_| late())? {
            Ok(Json(body)) => Ok(Self(body)),
            // Not 422, which axum would answer: that is for configurations that are faulty.
            Err(JsonRejection::JsonDataError(error)) => Err(Refusal::invalid(error.body_text())),
            Err(error) => Err(Refusal::new(error.status(), error.body_text())),
        }
    }
}
