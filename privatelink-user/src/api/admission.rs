//! Who is let in to the operations: decided by the head of a request, before a byte of its body is
//! read.
//!
//! The daemon's loop checks rights once more, because it knows what each request is about.

use axum::{
    extract::{DefaultBodyLimit, FromRequestParts, Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_LENGTH, RETRY_AFTER},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::watch;

use super::{doorkeeper::Visitor, peer::Credentials, refusal::Refusal};
use crate::{
    access::{Caller, Identity, Register},
    interface::path,
    timestamp::Timestamp,
};

/// The largest request body of an administrator: the text of a large configuration.
const LARGEST: usize = 32 << 20;
/// The largest request body of anyone else: a decision and its reason.
const LARGEST_OF_OTHERS: usize = 64 << 10;

/// Lets a request of a user with rights pass, with a body that the user may send.
pub(super) async fn admit(
    State(register): State<watch::Receiver<Register>>,
    mut request: Request,
    next: Next,
) -> Response {
    let visitor = request.extensions().get::<Visitor>().cloned();
    if visitor.as_ref().is_some_and(|visitor| !visitor.may_ask()) {
        return too_many();
    }
    // The description of the operations is everybody's, and no secret.
    if request.uri().path() == path::OPENAPI {
        return next.run(request).await;
    }
    let caller = match identify(&register, &mut request).await {
        Ok(caller) => caller,
        Err(refusal) => return farewell(refusal),
    };
    let administrates = caller.administrates().is_ok();
    let largest = if administrates { LARGEST } else { LARGEST_OF_OTHERS };
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > largest) {
        let error = format!("the request body exceeds {} KiB", largest >> 10);
        return farewell(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error));
    }
    DefaultBodyLimit::max(largest).apply(&mut request);
    request.extensions_mut().insert(caller);
    match visitor.filter(|_| !administrates) {
        None => next.run(request).await,
        Some(visitor) => {
            let _turn = visitor.turn().await;
            next.run(request).await
        }
    }
}

/// Finds who asks, and what the user may do.
async fn identify(
    register: &watch::Receiver<Register>,
    request: &mut Request,
) -> Result<Caller, Refusal> {
    let credentials = request.extensions().get::<Credentials>().copied();
    let credentials = credentials.ok_or_else(Refusal::unidentified)?;
    let peer = credentials.peer().await.ok_or_else(Refusal::ending)?;
    let identity = Identity::User(peer);
    let caller = register.borrow().caller(&identity, Timestamp::now());
    let caller = caller.map_err(Refusal::denied)?;
    request.extensions_mut().insert(identity);
    Ok(caller)
}

/// A refusal that ends the connection, because what follows the head is not read.
fn farewell(refusal: Refusal) -> Response {
    let mut response = refusal.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn too_many() -> Response {
    let error = "too many requests of this user: ask again in a second";
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
