//! What the gateway consists of: networks, services, endpoints and targets.

use axum::Json;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        client::{Calls, Client},
        document::{Absent, Conflict},
        extract::{PathName, QueryString},
        page::{Page, Tagged},
        refusal::{Answer, Refusal},
        request::{Refused, Request},
    },
    interface::{
        path,
        types::{
            CatalogueEntry, Endpoint, Network, NetworkNames, PageQuery, Service, Target,
            TargetQuery,
        },
    },
    state::objects::tag,
};

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new()
        .routes(routes!(networks))
        .routes(routes!(network))
        .routes(routes!(names))
        .routes(routes!(services))
        .routes(routes!(service))
        .routes(routes!(catalogue))
        .routes(routes!(offered))
        .routes(routes!(endpoints))
        .routes(routes!(endpoint))
        .routes(routes!(targets))
}

/// The networks, by name
///
/// Principals see their own.
#[utoipa::path(get, path = path::NETWORKS, params(PageQuery),
    responses((status = OK, body = Vec<Network>)))]
async fn networks(
    client: Client,
    QueryString(page): QueryString<PageQuery>,
) -> Result<Page<Network>, Refusal> {
    Page::of(client.ask(Request::Networks).await?, path::NETWORKS, &page, |one| one.name.clone())
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
#[utoipa::path(get, path = path::SERVICES, params(PageQuery),
    responses((status = OK, body = Vec<Service>)))]
async fn services(
    client: Client,
    QueryString(page): QueryString<PageQuery>,
) -> Result<Page<Service>, Refusal> {
    let all = client.ask_with_counts(Request::Services).await?;
    Page::of(all, path::SERVICES, &page, |one| one.name.clone())
}

/// One service
///
/// Its principal and administrators.
#[utoipa::path(get, path = path::SERVICE, params(("name" = String, Path)),
    responses((status = OK, body = Service)))]
async fn service(client: Client, PathName(name): PathName) -> Result<Tagged<Service>, Refusal> {
    let service =
        client.ask_with_counts(|counts, reply| Request::Service(name, counts, reply)).await?;
    let tag = service.definition.as_ref().map(tag);
    Ok(Tagged(tag, service))
}

/// The services that the caller may connect to, by name
///
/// Whatever a consumer may know: not where targets are, and not who else may connect.
#[utoipa::path(get, path = path::CATALOGUE, params(PageQuery),
    responses((status = OK, body = Vec<CatalogueEntry>)))]
async fn catalogue(
    client: Client,
    QueryString(page): QueryString<PageQuery>,
) -> Result<Page<CatalogueEntry>, Refusal> {
    Page::of(client.ask(Request::Catalogue).await?, path::CATALOGUE, &page, |one| one.name.clone())
}

/// One service that the caller may connect to
///
/// To all others, it does not exist.
#[utoipa::path(get, path = path::CATALOGUE_ENTRY, params(("name" = String, Path)),
    responses((status = OK, body = CatalogueEntry)))]
async fn offered(client: Client, PathName(name): PathName) -> Answer<CatalogueEntry> {
    one("service", &name, client.ask(Request::Catalogue).await?, |service| &service.name)
}

/// The endpoints, by name
///
/// Principals see their own.
#[utoipa::path(get, path = path::ENDPOINTS, params(PageQuery),
    responses((status = OK, body = Vec<Endpoint>), Conflict))]
async fn endpoints(
    client: Client,
    QueryString(page): QueryString<PageQuery>,
) -> Result<Page<Endpoint>, Refusal> {
    Page::of(client.ask(Request::Endpoints).await?, path::ENDPOINTS, &page, |one| one.name.clone())
}

/// One endpoint
///
/// Its principal and administrators.
#[utoipa::path(get, path = path::ENDPOINT, params(("name" = String, Path)),
    responses((status = OK, body = Endpoint), Conflict))]
async fn endpoint(client: Client, PathName(name): PathName) -> Result<Tagged<Endpoint>, Refusal> {
    let endpoint = client.ask(|reply| Request::Endpoint(name, reply)).await?;
    let tag = endpoint.definition.as_ref().map(tag);
    Ok(Tagged(tag, endpoint))
}

/// The targets, by service
///
/// Principals see those of their own services.
#[utoipa::path(get, path = path::TARGETS, params(TargetQuery),
    responses((status = OK, body = Vec<Target>), Absent))]
async fn targets(
    client: Client,
    QueryString(query): QueryString<TargetQuery>,
) -> Result<Page<Target>, Refusal> {
    let TargetQuery { service, after, limit } = query;
    let (mut targets, path) = match service {
        None => (client.ask_with_counts(Request::Targets).await?, path::TARGETS.to_owned()),
        Some(name) => {
            let services = client.ask_with_counts(Request::Services).await?;
            let Json(service) = one("service", &name, services, |service| &service.name)?;
            (service.targets, format!("{}?service={name}", path::TARGETS))
        }
    };
    let page = PageQuery { after, limit };
    if page != PageQuery::default() {
        targets.sort_by_key(place);
    }
    Page::of(targets, &path, &page, place)
}

/// The place of a target in a list of several pages.
fn place(target: &Target) -> String {
    format!("{}/{}/{:05}", target.service, target.address, target.port)
}

/// The object of this name. The daemon answers with those that the caller may see, so one that it
/// may not see is absent.
fn one<T>(kind: &str, name: &str, all: Vec<T>, name_of: impl Fn(&T) -> &String) -> Answer<T> {
    let known = all.iter().map(|one| name_of(one).as_str());
    let unknown = Refused::unknown(kind, name, known);
    let found = all.into_iter().find(|one| name_of(one) == name);
    found.map(Json).ok_or_else(|| unknown.into())
}
