//! Who is let in to the operations: decided by the head of a request, before a byte of its body is
//! read.
//!
//! The daemon's loop checks rights once more, because it knows what each request is about.

use axum::{
    extract::{DefaultBodyLimit, FromRequestParts, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::task::spawn_blocking;

use super::{
    doorkeeper::{Doorkeeper, Visitor},
    peer::Credentials,
    refusal::Refusal,
    remote::Remote,
};
use crate::{
    access::{Caller, Identity},
    audit::entry_of,
    interface::{path, types::AuditEntry},
    timestamp::Timestamp,
};

/// The largest request body of an administrator: the text of a large configuration.
const LARGEST: usize = 32 << 20;
/// The most characters of a request that the audit log has.
const LONGEST_ACTION: usize = 200;
/// The largest request body of anyone else: a decision and its reason.
const LARGEST_OF_OTHERS: usize = 64 << 10;

/// Refusals that may follow from the head alone. The body is not read then, so nothing can follow it
/// on the connection.
const FROM_HEADS: [StatusCode; 5] = [
    StatusCode::BAD_REQUEST,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
];

/// [`admit`], and records what is refused.
pub(super) async fn admit_on_record(
    State(doorkeeper): State<Doorkeeper>,
    request: Request,
    next: Next,
) -> Response {
    let address = request.extensions().get::<Remote>().map(|remote| remote.address().to_string());
    let action = format!("{} {}", request.method(), request.uri().path());
    let response = admit(&doorkeeper, request, next).await;
    if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&response.status()) {
        let known = response.extensions().get::<(Identity, Option<Caller>)>();
        let who = known.map(|(who, caller)| entry_of(Some(who), caller.as_ref()));
        let entry = AuditEntry {
            address,
            action: shortened(&action),
            result: Some("refused".into()),
            error: Some(response.status().to_string()),
            ..who.unwrap_or_default()
        };
        let audit = doorkeeper.audit();
        // The disk may be slow.
        drop(spawn_blocking(move || audit.refused(entry)));
    }
    response
}

/// A caller must not fill the log with paths.
fn shortened(action: &str) -> String {
    action.chars().filter(|one| !one.is_control()).take(LONGEST_ACTION).collect()
}

/// Lets a request of a user with rights pass, with a body that the user may send.
async fn admit(doorkeeper: &Doorkeeper, mut request: Request, next: Next) -> Response {
    let visitor = request.extensions().get::<Visitor>().cloned();
    if visitor.as_ref().is_some_and(|visitor| !visitor.may_ask()) {
        return too_many();
    }
    // The description of the operations is everybody's on this host, and no secret.
    let is_remote = request.extensions().get::<Remote>().is_some();
    if request.uri().path() == path::OPENAPI && !is_remote {
        return next.run(request).await;
    }
    let caller = match identify(doorkeeper, &mut request).await {
        Ok(caller) => caller,
        Err(refusal) => {
            let mut response = farewell(refusal);
            if let Some(identity) = request.extensions_mut().remove::<Identity>() {
                response.extensions_mut().insert((identity, None::<Caller>));
            }
            return response;
        }
    };
    // Whoever shares an address with others, or has several, has one share as the holder of a key.
    let holder = match request.extensions().get::<Identity>() {
        Some(Identity::Key { id, .. }) => Some(doorkeeper.holder(id)),
        Some(Identity::User(_) | Identity::Certificate { .. }) | None => None,
    };
    if holder.as_ref().is_some_and(|holder| !holder.may_ask()) {
        return too_many();
    }
    let visitor = holder.or(visitor);
    let administrates = caller.administrates().is_ok();
    let largest = if administrates { LARGEST } else { LARGEST_OF_OTHERS };
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > largest) {
        let error = format!("the request body exceeds {} KiB", largest >> 10);
        return farewell(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error));
    }
    DefaultBodyLimit::max(largest).apply(&mut request);
    let has_body = has_body(request.headers());
    let known = request.extensions().get::<Identity>().cloned();
    let known = known.map(|identity| (identity, Some(caller.clone())));
    request.extensions_mut().insert(caller);
    let mut response = match visitor.filter(|_| !administrates) {
        None => next.run(request).await,
        Some(visitor) => {
            let _turn = visitor.turn().await;
            next.run(request).await
        }
    };
    if let Some(known) = known {
        response.extensions_mut().insert(known);
    }
    if has_body && FROM_HEADS.contains(&response.status()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

/// Finds who asks, and what the user may do.
async fn identify(doorkeeper: &Doorkeeper, request: &mut Request) -> Result<Caller, Refusal> {
    let register = doorkeeper.register();
    let identity = if let Some(remote) = request.extensions().get::<Remote>().cloned() {
        let identity = remote.identify(request.headers(), &register.borrow());
        match identity {
            Ok(identity) => identity,
            Err(denied) => {
                doorkeeper.slow_down(remote.address()).await;
                return Err(Refusal::unknown_caller(&denied));
            }
        }
    } else {
        let credentials = request.extensions().get::<Credentials>().copied();
        let credentials = credentials.ok_or_else(Refusal::unidentified)?;
        Identity::User(credentials.peer().await.ok_or_else(Refusal::ending)?)
    };
    request.extensions_mut().insert(identity.clone());
    let caller = register.borrow().caller(&identity, Timestamp::now());
    let caller = caller.map_err(Refusal::denied)?;
    Ok(caller)
}

/// A refusal that ends the connection, because what follows the head is not read.
fn farewell(refusal: Refusal) -> Response {
    let mut response = refusal.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn too_many() -> Response {
    let error = "too many requests of this caller: ask again in a second";
    let mut response = farewell(Refusal::new(StatusCode::TOO_MANY_REQUESTS, error));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A caller who administers the gateway; a handler that takes one refuses all others before it
/// reads the body.
pub(super) struct Administrator;

impl<S: Send + Sync> FromRequestParts<S> for Administrator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let caller = parts.extensions.get::<Caller>().ok_or_else(Refusal::unidentified)?;
        caller.administrates().map_err(Refusal::denied)?;
        Ok(Self)
    }
}
