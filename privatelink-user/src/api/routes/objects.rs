//! What the gateway consists of: networks, services, endpoints and targets.

use axum::Json;
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
        types::{Endpoint, Network, NetworkNames, Service, Target, TargetQuery},
    },
};

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new()
        .routes(routes!(networks))
        .routes(routes!(network))
        .routes(routes!(names))
        .routes(routes!(services))
        .routes(routes!(service))
        .routes(routes!(endpoints))
        .routes(routes!(endpoint))
        .routes(routes!(targets))
}

/// The networks, by name
///
/// Principals see their own.
#[utoipa::path(get, path = path::NETWORKS, responses((status = OK, body = Vec<Network>)))]
async fn networks(client: Client) -> Answer<Vec<Network>> {
    Ok(Json(client.ask(Request::Networks).await?))
}

/// One network
///
/// Its principal and administrators.
#[utoipa::path(get, path = path::NETWORK, params(("name" = String, Path)),
    responses((status = OK, body = Network)))]
async fn network(client: Client, PathName(name): PathName) -> Answer<Network> {
    one("network", &name, client.ask(Request::Networks).await?, |network| &network.name)
}

/// The names that a network is served
///
/// Its principal and administrators.
#[utoipa::path(get, path = path::NETWORK_NAMES, params(("name" = String, Path)),
    responses((status = OK, body = NetworkNames), Conflict))]
async fn names(client: Client, PathName(name): PathName) -> Answer<NetworkNames> {
    Ok(Json(client.ask(|reply| Request::Names(name, reply)).await?))
}

/// The services, by name
///
/// Principals see their own.
#[utoipa::path(get, path = path::SERVICES, responses((status = OK, body = Vec<Service>)))]
async fn services(client: Client) -> Answer<Vec<Service>> {
    Ok(Json(client.ask_with_counts(Request::Services).await?))
}

/// One service
///
/// Its principal and administrators.
#[utoipa::path(get, path = path::SERVICE, params(("name" = String, Path)),
    responses((status = OK, body = Service)))]
async fn service(client: Client, PathName(name): PathName) -> Answer<Service> {
    one("service", &name, client.ask_with_counts(Request::Services).await?, |service| &service.name)
}

/// The endpoints, by name
///
/// Principals see their own.
#[utoipa::path(get, path = path::ENDPOINTS,
    responses((status = OK, body = Vec<Endpoint>), Conflict))]
async fn endpoints(client: Client) -> Answer<Vec<Endpoint>> {
    Ok(Json(client.ask(Request::Endpoints).await?))
}

/// One endpoint
///
/// Its principal and administrators.
#[utoipa::path(get, path = path::ENDPOINT, params(("name" = String, Path)),
    responses((status = OK, body = Endpoint), Conflict))]
async fn endpoint(client: Client, PathName(name): PathName) -> Answer<Endpoint> {
    one("endpoint", &name, client.ask(Request::Endpoints).await?, |endpoint| &endpoint.name)
}

/// The targets, by service
///
/// Principals see those of their own services.
#[utoipa::path(get, path = path::TARGETS, params(TargetQuery),
    responses((status = OK, body = Vec<Target>), Absent))]
async fn targets(
    client: Client,
    QueryString(query): QueryString<TargetQuery>,
) -> Answer<Vec<Target>> {
    let Some(name) = query.service else {
        return Ok(Json(client.ask_with_counts(Request::Targets).await?));
    };
    let services = client.ask_with_counts(Request::Services).await?;
    let Json(service) = one("service", &name, services, |service| &service.name)?;
    Ok(Json(service.targets))
}

/// The object of this name. The daemon answers with those that the caller may see, so one that it
/// may not see is absent.
fn one<T>(kind: &str, name: &str, all: Vec<T>, name_of: impl Fn(&T) -> &String) -> Answer<T> {
    let found = all.into_iter().find(|one| name_of(one) == name);
    found.map(Json).ok_or_else(|| Refusal::absent(kind, name))
}
