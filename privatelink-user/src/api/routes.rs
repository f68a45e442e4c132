//! The paths of the interface and what is behind each.
//!
//! Handlers know nothing: each request goes to the daemon's loop, which owns all state, and its
//! answer comes back. So no answer shows a change half made, and nothing needs a lock.

mod decisions;
mod events;
mod flows;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request as HttpRequest,
        State, rejection::JsonRejection,
    },
    http::{HeaderName, StatusCode, header::CONTENT_LENGTH, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use utoipa::{OpenApi, openapi};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::request::{Question as Asked, Refused, Reply, Request};
use crate::{
    access::Peer,
    interface::{
        path,
        types::{
            Configuration, Difference, Endpoint, Network, NetworkNames, Problem, Service, Status,
            Target, TargetQuery,
        },
    },
};

/// Longer than the loop is ever busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most that a request may carry: the text of a large configuration.
const MAX_BODY: usize = 32 << 20;

/// How many flows are not in the answer.
pub(crate) const OMITTED: HeaderName = HeaderName::from_static("privatelink-omitted");

#[derive(OpenApi)]
#[openapi(info(
    title = "privatelink",
    description = "The control interface of a gateway, over its unix socket."
))]
struct Document;

/// The handlers behind their paths.
pub(super) fn router(requests: mpsc::Sender<Asked>) -> Router {
    let (router, document) = described().with_state(requests).split_for_parts();
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

/// The OpenAPI document of the interface.
pub fn document() -> openapi::OpenApi {
    described().into_openapi()
}

fn described() -> OpenApiRouter<mpsc::Sender<Asked>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status))
        .routes(routes!(networks))
        .routes(routes!(network))
        .routes(routes!(names))
        .routes(routes!(services))
        .routes(routes!(service))
        .routes(routes!(endpoints))
        .routes(routes!(endpoint))
        .routes(routes!(targets))
        .routes(routes!(flows::flows))
        .routes(routes!(flows::whois))
        .routes(routes!(decisions::connections))
        .routes(routes!(decisions::connection))
        .routes(routes!(decisions::accept))
        .routes(routes!(decisions::reject))
        .routes(routes!(decisions::request))
        .routes(routes!(events::events))
        .routes(routes!(events::follow))
        .routes(routes!(plan))
        .routes(routes!(reload))
        .routes(routes!(down))
}

/// Refuses a request that will be too large, and ends one that takes too long, be it in reading
/// or in answering.
async fn bounded(request: HttpRequest, next: Next) -> Response {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > MAX_BODY)
    {
        let error = format!("more than {} MiB are not taken", MAX_BODY >> 20);
        return problem(StatusCode::PAYLOAD_TOO_LARGE, error);
    }
    // The loop's own patience ends first, so that its word is heard.
    timeout(PATIENCE + Duration::from_secs(2), next.run(request)).await.unwrap_or_else(|_| {
        problem(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time".into())
    })
}

type Requests = State<mpsc::Sender<Asked>>;

/// What the gateway is doing
#[utoipa::path(get, path = path::STATUS, responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Status), (status = CONFLICT, body = Problem),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn status(peer: Peer, State(requests): Requests) -> Response {
    answer(ask(&requests, &peer, Request::Status).await)
}

/// The networks, by name
#[utoipa::path(get, path = path::NETWORKS, responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Vec<Network>), (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn networks(peer: Peer, State(requests): Requests) -> Response {
    answer(ask(&requests, &peer, Request::Networks).await)
}

/// One network
#[utoipa::path(get, path = "/v1/networks/{name}", params(("name" = String, Path)), responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Network), (status = NOT_FOUND, body = Problem),
    (status = BAD_REQUEST, body = Problem), (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn network(peer: Peer, State(requests): Requests, Name(name): Name) -> Response {
    one("network", &name, ask(&requests, &peer, Request::Networks).await, |network| &network.name)
}

/// The names that a network is served
#[utoipa::path(get, path = "/v1/networks/{name}/names", params(("name" = String, Path)), responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = NetworkNames), (status = NOT_FOUND, body = Problem),
    (status = BAD_REQUEST, body = Problem), (status = CONFLICT, body = Problem),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn names(peer: Peer, State(requests): Requests, Name(name): Name) -> Response {
    answer(ask(&requests, &peer, |reply| Request::Names(name, reply)).await)
}

/// The services, by name
#[utoipa::path(get, path = path::SERVICES, responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Vec<Service>), (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn services(peer: Peer, State(requests): Requests) -> Response {
    answer(ask(&requests, &peer, Request::Services).await)
}

/// One service
#[utoipa::path(get, path = "/v1/services/{name}", params(("name" = String, Path)), responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Service), (status = NOT_FOUND, body = Problem),
    (status = BAD_REQUEST, body = Problem), (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn service(peer: Peer, State(requests): Requests, Name(name): Name) -> Response {
    one("service", &name, ask(&requests, &peer, Request::Services).await, |service| &service.name)
}

/// The endpoints, by name
#[utoipa::path(get, path = path::ENDPOINTS, responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Vec<Endpoint>), (status = CONFLICT, body = Problem),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn endpoints(peer: Peer, State(requests): Requests) -> Response {
    answer(ask(&requests, &peer, Request::Endpoints).await)
}

/// One endpoint
#[utoipa::path(get, path = "/v1/endpoints/{name}", params(("name" = String, Path)), responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Endpoint), (status = NOT_FOUND, body = Problem),
    (status = BAD_REQUEST, body = Problem), (status = CONFLICT, body = Problem),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn endpoint(peer: Peer, State(requests): Requests, Name(name): Name) -> Response {
    one("endpoint", &name, ask(&requests, &peer, Request::Endpoints).await, |endpoint| {
        &endpoint.name
    })
}

/// The targets, by service
#[utoipa::path(get, path = path::TARGETS, params(TargetQuery), responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Vec<Target>), (status = BAD_REQUEST, body = Problem),
    (status = NOT_FOUND, body = Problem), (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn targets(
    peer: Peer,
    State(requests): Requests,
    Question(query): Question<TargetQuery>,
) -> Response {
    let Some(service) = query.service else {
        return answer(ask(&requests, &peer, Request::Targets).await);
    };
    let services = ask(&requests, &peer, Request::Services).await;
    let found = services.and_then(|services| {
        let found = services.into_iter().find(|one| one.name == service);
        found.ok_or_else(|| absent("service", &service))
    });
    answer(found.map(|service| service.targets))
}

/// What a configuration would change; nothing is applied
#[utoipa::path(post, path = path::PLAN, request_body = Configuration, responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Difference), (status = BAD_REQUEST, body = Problem),
    (status = CONFLICT, body = Problem), (status = PAYLOAD_TOO_LARGE, body = Problem),
    (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
    (status = UNPROCESSABLE_ENTITY, body = Problem, description = "The configuration is faulty"),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn plan(
    peer: Peer,
    State(requests): Requests,
    Body(configuration): Body<Configuration>,
) -> Response {
    answer(ask(&requests, &peer, |reply| Request::Plan(configuration, reply)).await)
}

/// Applies the configuration on disk, and tells what that changed
#[utoipa::path(post, path = path::RELOAD, responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Difference), (status = CONFLICT, body = Problem),
    (status = UNPROCESSABLE_ENTITY, body = Problem, description = "The configuration is faulty"),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn reload(peer: Peer, State(requests): Requests) -> Response {
    answer(ask(&requests, &peer, Request::Reload).await)
}

/// Stops forwarding, removes all that is pinned, and ends the daemon
#[utoipa::path(post, path = path::DOWN, responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = ()), (status = CONFLICT, body = Problem),
    (status = SERVICE_UNAVAILABLE, body = Problem),
))]
async fn down(peer: Peer, State(requests): Requests) -> Response {
    answer(ask(&requests, &peer, Request::Down).await)
}

async fn unknown() -> Response {
    problem(StatusCode::NOT_FOUND, "there is nothing under this path".into())
}

async fn not_allowed() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method".into())
}

/// Why there is no answer.
enum Refusal {
    /// The daemon says so.
    Refused(Refused),
    /// The daemon cannot be asked.
    Unavailable(&'static str),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(Refused::Forbidden(error)) => problem(StatusCode::FORBIDDEN, error),
            Self::Refused(Refused::Unknown(error)) => problem(StatusCode::NOT_FOUND, error),
            Self::Refused(Refused::Failed(error)) => problem(StatusCode::CONFLICT, error),
            Self::Refused(Refused::Faulty(faulty)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Json(faulty)).into_response()
            }
            Self::Unavailable(error) => problem(StatusCode::SERVICE_UNAVAILABLE, error.into()),
        }
    }
}

/// The only way to the daemon, and none without saying who asks.
async fn ask<T>(
    requests: &mpsc::Sender<Asked>,
    peer: &Peer,
    request: impl FnOnce(Reply<T>) -> Request,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    let exchange = async {
        let asked = Asked { from: peer.clone(), request: request(reply) };
        requests.send(asked).await.ok()?;
        answer.await.ok()
    };
    match timeout(PATIENCE, exchange).await {
        Ok(Some(answer)) => answer.map_err(Refusal::Refused),
        Ok(None) => Err(Refusal::Unavailable("the daemon is ending")),
        Err(_) => Err(Refusal::Unavailable("the daemon is busy")),
    }
}

fn answer<T: Serialize>(result: Result<T, Refusal>) -> Response {
    result.map(Json).into_response()
}

fn one<T: Serialize>(
    kind: &str,
    name: &str,
    all: Result<Vec<T>, Refusal>,
    name_of: impl Fn(&T) -> &String,
) -> Response {
    let found = all.and_then(|all| {
        all.into_iter().find(|one| name_of(one) == name).ok_or_else(|| absent(kind, name))
    });
    answer(found)
}

fn absent(kind: &str, name: &str) -> Refusal {
    let error = format!("there is no {kind} `{name}`; see `privatelink {kind}s`");
    Refusal::Refused(Refused::Unknown(error))
}

pub(super) fn problem(code: StatusCode, error: String) -> Response {
    (code, Json(Problem { error, ..Problem::default() })).into_response()
}

/// The name in a path.
struct Name(String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Path(name) = Path::from_request_parts(parts, state)
            .await
            .map_err(|wrong| problem(StatusCode::BAD_REQUEST, wrong.body_text()))?;
        Ok(Self(name))
    }
}

/// What stands behind the question mark.
struct Question<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Question<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let Query(query) = Query::from_request_parts(parts, state)
            .await
            .map_err(|wrong| problem(StatusCode::BAD_REQUEST, wrong.body_text()))?;
        Ok(Self(query))
    }
}

/// A request's body.
struct Body<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: HttpRequest, state: &S) -> Result<Self, Response> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            // 422 is for configurations that are faulty.
            Err(JsonRejection::JsonDataError(wrong)) => {
                Err(problem(StatusCode::BAD_REQUEST, wrong.body_text()))
            }
            Err(wrong) => Err(problem(wrong.status(), wrong.body_text())),
        }
    }
}
