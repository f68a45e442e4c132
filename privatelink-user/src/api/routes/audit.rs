//! The audit log.

use std::io;

use axum::Json;
use tokio::task::spawn_blocking;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        admission::Administrator,
        client::{Calls, Client},
        document::Conflict,
        extract::QueryString,
        refusal::{Answer, Refusal},
        request::{Refused, Request},
    },
    audit::may_see,
    interface::{
        path,
        types::{AuditCheck, AuditEntry, AuditQuery},
    },
};

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new().routes(routes!(audit)).routes(routes!(verify))
}

/// The latest entries of the audit log, or those after one that is known
///
/// Principals see those of callers who acted for them.
#[utoipa::path(get, path = path::AUDIT, params(AuditQuery),
    responses((status = OK, body = Vec<AuditEntry>), Conflict))]
async fn audit(
    client: Client,
    QueryString(query): QueryString<AuditQuery>,
) -> Answer<Vec<AuditEntry>> {
    let limit = query.limit.unwrap_or(AuditQuery::DEFAULT_LIMIT);
    if !(1..=AuditQuery::MAX_LIMIT).contains(&limit) {
        let error = format!("`limit` must be from 1 to {}", AuditQuery::MAX_LIMIT);
        return Err(Refusal::invalid(error));
    }
    let (reader, rights) = client.ask(Request::Audit).await?;
    read(move || reader.entries(query.after, limit as usize, |entry| may_see(&rights, entry))).await
}

/// Checks that no line of the audit log was altered, removed or inserted
///
/// Administrators only.
#[utoipa::path(get, path = path::AUDIT_CHECK,
    responses((status = OK, body = AuditCheck), Conflict))]
async fn verify(client: Client, _: Administrator) -> Answer<AuditCheck> {
    let (reader, _) = client.ask(Request::Audit).await?;
    read(move || reader.verify()).await
}

/// Reads files on a thread that may take its time.
async fn read<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Answer<T> {
    match spawn_blocking(work).await {
        Ok(Ok(found)) => Ok(Json(found)),
        Ok(Err(error)) => {
            Err(Refused::Failed(format!("cannot read the audit log: {error}")).into())
        }
        Err(_) => Err(Refusal::ending()),
    }
}
