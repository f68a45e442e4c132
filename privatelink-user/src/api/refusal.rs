//! Why a request is not fulfilled, as an HTTP response.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::request::Refused;
use crate::{access::Denied, interface::types::Problem};

/// What a handler returns: an answer in JSON, or why there is none.
pub type Answer<T> = Result<Json<T>, Refusal>;

/// A response that says why a request is not fulfilled.
#[derive(Debug)]
pub struct Refusal {
    code: StatusCode,
    problem: Problem,
}

impl Refusal {
    /// A response with this code and error.
    pub fn new(code: StatusCode, error: impl Into<String>) -> Self {
        Self { code, problem: Problem { error: error.into(), ..Problem::default() } }
    }

    /// The request itself is wrong.
    pub fn invalid(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// The kernel does not say who asks.
    pub fn unidentified() -> Self {
        Self::new(StatusCode::FORBIDDEN, "the kernel does not identify the client")
    }

    /// A caller on another host brings neither a key nor a certificate that counts.
    pub fn unknown_caller(denied: &Denied) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, denied.to_string())
    }

    /// The caller has no right to it.
    pub fn denied(denied: Denied) -> Self {
        Refused::from(denied).into()
    }

    /// The daemon ends before it has answered.
    pub fn ending() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is ending")
    }

    /// What was sent is faulty.
    pub fn faulty(problem: Problem) -> Self {
        Refused::Faulty(problem).into()
    }

    /// There is no object of this kind with this name.
    pub fn absent(kind: &str, name: &str) -> Self {
        Refused::unknown(kind, name, []).into()
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Forbidden(error) => Self::new(StatusCode::FORBIDDEN, error),
            Refused::Unknown(error) => Self::new(StatusCode::NOT_FOUND, error),
            Refused::Failed(error) => Self::new(StatusCode::CONFLICT, error),
            Refused::Unexpected(error) => Self::new(StatusCode::PRECONDITION_FAILED, error),
            Refused::Faulty(problem) => Self { code: StatusCode::UNPROCESSABLE_ENTITY, problem },
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.code, Json(self.problem)).into_response()
    }
}
