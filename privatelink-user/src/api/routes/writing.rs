//! Objects that the API makes, changes and deletes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::Json;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        client::{Calls, Client},
        document::{Conflict, Faulty, Unexpected},
        extract::{Head, JsonBody, PathName, PathNames, QueryString, flag},
        page::Tagged,
        refusal::{Answer, Refusal},
        request::{Request, Write},
    },
    interface::{
        path,
        types::{Keys, ObjectSet, Problem, WriteHead, WriteQuery, Written},
    },
    model::Name,
    objects::{Condition, Step},
    state::objects::{Content, Kind, ObjectName},
};

/// The longest `Idempotency-Key`, in bytes.
const LONGEST_KEY: usize = 128;

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new()
        .routes(routes!(objects, apply))
        .routes(routes!(put_service, delete_service))
        .routes(routes!(put_endpoint, delete_endpoint))
        .routes(routes!(register, deregister))
}

/// All that the API has made, as it was written
///
/// Principals get their own.
#[utoipa::path(get, path = path::OBJECTS, responses((status = OK, body = ObjectSet)))]
async fn objects(client: Client) -> Answer<ObjectSet> {
    Ok(Json(client.ask(Request::Objects).await?))
}

/// Makes or changes several objects, all of them or none
///
/// Principals write services and endpoints of their own.
#[utoipa::path(post, path = path::OBJECTS, params(WriteQuery, WriteHead),
    request_body = ObjectSet,
    responses((status = OK, body = Written), Conflict, Faulty, Unexpected))]
async fn apply(
    client: Client,
    QueryString(query): QueryString<WriteQuery>,
    Head(head): Head,
    JsonBody(set): JsonBody<ObjectSet>,
) -> Answer<Written> {
    let services = steps(Kind::Service, set.service);
    let steps: Result<Vec<Step>, Refusal> =
        services.chain(steps(Kind::Endpoint, set.endpoint)).collect();
    Ok(write(&client, steps?, query, head).await?.1)
}

/// Makes a service, or changes it
///
/// Its principal, in its own networks and in those that list it, and administrators.
#[utoipa::path(put, path = path::SERVICE, params(("name" = String, Path), WriteQuery, WriteHead),
    request_body = Keys,
    responses((status = OK, body = Written), Conflict, Faulty, Unexpected))]
async fn put_service(
    client: Client,
    PathName(name): PathName,
    QueryString(query): QueryString<WriteQuery>,
    Head(head): Head,
    JsonBody(Keys(content)): JsonBody<Keys>,
) -> Result<Tagged<Written>, Refusal> {
    put(&client, Kind::Service, &name, (query, head), content).await
}

/// Deletes a service to which no endpoint leads
///
/// Its principal and administrators.
#[utoipa::path(delete, path = path::SERVICE, params(("name" = String, Path), WriteQuery, WriteHead),
    responses((status = OK, body = Written), Conflict, Faulty, Unexpected))]
async fn delete_service(
    client: Client,
    PathName(name): PathName,
    QueryString(query): QueryString<WriteQuery>,
    Head(head): Head,
) -> Answer<Written> {
    delete(&client, Kind::Service, &name, (query, head)).await
}

/// Makes an endpoint, which requests a connection, or changes it
///
/// The owner of its network and administrators.
#[utoipa::path(put, path = path::ENDPOINT, params(("name" = String, Path), WriteQuery, WriteHead),
    request_body = Keys,
    responses((status = OK, body = Written), Conflict, Faulty, Unexpected))]
async fn put_endpoint(
    client: Client,
    PathName(name): PathName,
    QueryString(query): QueryString<WriteQuery>,
    Head(head): Head,
    JsonBody(Keys(content)): JsonBody<Keys>,
) -> Result<Tagged<Written>, Refusal> {
    put(&client, Kind::Endpoint, &name, (query, head), content).await
}

/// Deletes an endpoint, with its connection and flows
///
/// The owner of its network and administrators.
#[utoipa::path(delete, path = path::ENDPOINT, params(("name" = String, Path), WriteQuery, WriteHead),
    responses((status = OK, body = Written), Conflict, Faulty, Unexpected))]
async fn delete_endpoint(
    client: Client,
    PathName(name): PathName,
    QueryString(query): QueryString<WriteQuery>,
    Head(head): Head,
) -> Answer<Written> {
    delete(&client, Kind::Endpoint, &name, (query, head)).await
}

/// Registers a target of a service, or changes its weight
///
/// The service's principal and administrators.
#[utoipa::path(put, path = path::SERVICE_TARGET,
    params(("name" = String, Path), ("address" = String, Path), WriteQuery, WriteHead),
    request_body = Keys,
    responses((status = OK, body = Written), Conflict, Faulty, Unexpected))]
async fn register(
    client: Client,
    PathNames(service, address): PathNames,
    QueryString(query): QueryString<WriteQuery>,
    Head(head): Head,
    JsonBody(Keys(keys)): JsonBody<Keys>,
) -> Result<Tagged<Written>, Refusal> {
    let step = Step::Register(known(Kind::Service, &service)?, address, keys);
    let (tag, Json(written)) = write(&client, vec![step], query, head).await?;
    Ok(Tagged(tag, written))
}

/// Deregisters a target, which drains
///
/// The service's principal and administrators.
#[utoipa::path(delete, path = path::SERVICE_TARGET,
    params(("name" = String, Path), ("address" = String, Path), WriteQuery, WriteHead),
    responses((status = OK, body = Written), Conflict, Faulty, Unexpected))]
async fn deregister(
    client: Client,
    PathNames(service, address): PathNames,
    QueryString(query): QueryString<WriteQuery>,
    Head(head): Head,
) -> Result<Tagged<Written>, Refusal> {
    let step = Step::Deregister(known(Kind::Service, &service)?, address);
    let (tag, Json(written)) = write(&client, vec![step], query, head).await?;
    Ok(Tagged(tag, written))
}

async fn put(
    client: &Client,
    kind: Kind,
    name: &str,
    (query, head): (WriteQuery, WriteHead),
    content: Content,
) -> Result<Tagged<Written>, Refusal> {
    let name: Name = name.parse().map_err(|error| {
        Refusal::invalid(format!("no {} can be named `{name}`: {error}", kind.word()))
    })?;
    let step = Step::Put(ObjectName { kind, name }, content);
    let (tag, Json(written)) = write(client, vec![step], query, head).await?;
    Ok(Tagged(tag, written))
}

async fn delete(
    client: &Client,
    kind: Kind,
    name: &str,
    (query, head): (WriteQuery, WriteHead),
) -> Answer<Written> {
    let name = known(kind, name)?;
    let step = Step::Delete(ObjectName { kind, name });
    Ok(write(client, vec![step], query, head).await?.1)
}

/// A name that an object can have.
fn known(kind: Kind, name: &str) -> Result<Name, Refusal> {
    name.parse().map_err(|_| Refusal::absent(kind.word(), name))
}

/// The steps that make these objects.
fn steps(kind: Kind, all: Vec<Content>) -> impl Iterator<Item = Result<Step, Refusal>> {
    all.into_iter().enumerate().map(move |(index, content)| {
        let name = content.get("name").and_then(|name| name.as_str());
        let name = name.and_then(|name| name.parse().ok());
        let name = name.ok_or_else(|| {
            let pointer = format!("/{}/{index}/name", kind.word());
            let message = format!("this {} has no name that one can have", kind.word());
            Refusal::faulty(Problem {
                error: format!("{pointer}: {message}\n"),
                faults: vec![serde_json::json!({ "message": message, "pointer": pointer })],
            })
        })?;
        Ok(Step::Put(ObjectName { kind, name }, content))
    })
}

/// Makes the daemon write; returns also the tag of the object, if there is one.
async fn write(
    client: &Client,
    steps: Vec<Step>,
    query: WriteQuery,
    head: WriteHead,
) -> Result<(Option<String>, Json<Written>), Refusal> {
    let condition = condition(&head)?;
    let dry_run = flag("dry_run", query.dry_run)?;
    let key = head.idempotency_key.map(|key| key_of(key, &steps, &condition)).transpose()?;
    let write = Write { steps, condition, key, dry_run };
    let written = client.ask(|reply| Request::Write(write, reply)).await?;
    let tag = written.objects.first().and_then(|one| one.tag.clone());
    Ok((tag, Json(written)))
}

/// The client's key, and a number that tells what is asked for under it.
fn key_of(key: String, steps: &[Step], condition: &Condition) -> Result<(String, u64), Refusal> {
    if key.is_empty() || key.len() > LONGEST_KEY {
        let error = format!("`Idempotency-Key` must have 1 to {LONGEST_KEY} characters");
        return Err(Refusal::invalid(error));
    }
    let mut hasher = DefaultHasher::new();
    format!("{steps:?} {condition:?}").hash(&mut hasher);
    Ok((key, hasher.finish()))
}

/// The conditions that the head of a request states.
fn condition(head: &WriteHead) -> Result<Condition, Refusal> {
    let mut condition = Condition::default();
    match head.if_match.as_deref().map(str::trim) {
        None => {}
        Some("*") => condition.exists = true,
        Some(tags) => {
            let tags = tags.split(',').map(|tag| tag.trim().trim_matches('"').to_owned());
            condition.tags = Some(tags.collect());
        }
    }
    match head.if_none_match.as_deref().map(str::trim) {
        None => {}
        Some("*") => condition.absent = true,
        Some(_) => return Err(Refusal::invalid("`If-None-Match` can only be `*`")),
    }
    Ok(condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_http_writes_them() {
        let of = |if_match: Option<&str>, if_none_match: Option<&str>| {
            let text = |text: Option<&str>| text.map(ToOwned::to_owned);
            let (if_match, if_none_match) = (text(if_match), text(if_none_match));
            condition(&WriteHead { if_match, if_none_match, idempotency_key: None }).ok()
        };
        let none = Condition::default();
        assert_eq!(of(None, None), Some(none.clone()));
        assert_eq!(of(Some("*"), None), Some(Condition { exists: true, ..none.clone() }));
        assert_eq!(of(None, Some(" * ")), Some(Condition { absent: true, ..none.clone() }));
        let tags = Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(of(Some("\"a\", \"b\""), None), Some(Condition { tags, ..none }));
        assert_eq!(of(None, Some("\"a\"")), None);
    }
}
