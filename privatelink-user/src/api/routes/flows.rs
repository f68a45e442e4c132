//! Flows, and the clients behind them. Threads besides the daemon's loop make these lists, and send
//! them while they do.

use std::{convert::Infallible, ops::ControlFlow, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header::CONTENT_TYPE},
    response::IntoResponse,
};
use futures_util::stream;
use privatelink_common::{TCP, UDP, flow::Phase};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        client::{Calls, Client},
        document::{Absent, Conflict},
        extract::QueryString,
        refusal::{Answer, Refusal},
        request::{Flows, Refused, Request},
    },
    interface::{
        path,
        types::{Flow, FlowQuery, Whois, WhoisQuery},
    },
    timestamp::Timestamp,
    view::{
        flows::Filter,
        whois::{Criteria, When},
    },
};

/// Answers are sent in parts of about this many bytes.
const PART: usize = 64 * 1024;

/// How far flows may have come.
const STATES: [Phase; 5] =
    [Phase::Opening, Phase::Answered, Phase::Established, Phase::HalfClosed, Phase::Closing];

/// The header that counts the flows that are not in the answer.
pub(crate) const OMITTED: HeaderName = HeaderName::from_static("privatelink-omitted");

pub(super) fn routes() -> OpenApiRouter<Calls> {
    OpenApiRouter::new().routes(routes!(flows)).routes(routes!(whois))
}

/// The flows that match the query
///
/// Administrators only.
#[utoipa::path(get, path = path::FLOWS, params(FlowQuery), responses(
    (status = OK, body = Vec<Flow>, headers(
        ("privatelink-omitted" = u64, description = "How many flows are not in the answer"),
    )),
    Absent, Conflict))]
async fn flows(
    client: Client,
    QueryString(query): QueryString<FlowQuery>,
) -> Result<impl IntoResponse, Refusal> {
    if query.limit.is_some_and(|limit| !(1..=FlowQuery::MAX_LIMIT).contains(&limit)) {
        let error = format!("`limit` must be from 1 to {}", FlowQuery::MAX_LIMIT);
        return Err(Refusal::invalid(error));
    }
    let filter = filter(&query).map_err(Refusal::invalid)?;
    list(client.ask(|reply| Request::Flows(query, filter, reply)).await?).await
}

fn filter(query: &FlowQuery) -> Result<Filter, String> {
    let protocol = match query.protocol.as_deref() {
        None => None,
        Some("tcp") => Some(TCP),
        Some("udp") => Some(UDP),
        Some(_) => return Err("`protocol` must be tcp or udp".into()),
    };
    let state = match &query.state {
        None => None,
        Some(word) => {
            let unknown =
                || format!("`state` must be one of {}", STATES.map(Phase::name).join(", "));
            let found = STATES.into_iter().find(|phase| phase.name() == word);
            Some(found.ok_or_else(unknown)?)
        }
    };
    Ok(Filter { address: query.address, port: query.port, protocol, state })
}

/// Sends a list while it is being made. A client that reads slowly holds up nothing but the thread
/// that makes its list.
async fn list(flows: Flows) -> Result<impl IntoResponse, Refusal> {
    let (parts, sent) = mpsc::channel(2);
    let (count, counted) = oneshot::channel();
    spawn_blocking(move || {
        let Flows { listing, reader } = flows;
        let all = listing.count(reader.flows());
        if count.send(all.saturating_sub(listing.limit)).is_err() {
            return;
        }
        let mut part = vec![b'['];
        let mut first = true;
        let ended = listing.for_each(
            all,
            || reader.flows(),
            |flow| {
                if !std::mem::take(&mut first) {
                    part.push(b',');
                }
                // Nothing in a flow refuses to be JSON.
                let _ = serde_json::to_writer(&mut part, &flow);
                if part.len() < PART {
                    return ControlFlow::Continue(());
                }
                let full = Bytes::from(std::mem::take(&mut part));
                let gone = parts.blocking_send(full).is_err();
                if gone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        if ended.is_continue() {
            part.push(b']');
            let _ = parts.blocking_send(part.into());
        }
    });
    let omitted = counted.await.map_err(|_| Refusal::ending())?;
    let body = stream::unfold(sent, |mut sent| async {
        let part = sent.recv().await?;
        Some((Ok::<_, Infallible>(part), sent))
    });
    let json = HeaderValue::from_static("application/json");
    let headers = [(OMITTED, HeaderValue::from(omitted)), (CONTENT_TYPE, json)];
    Ok((headers, Body::from_stream(body)))
}

/// The client behind a source address and port
///
/// Providers find the clients of their own services.
#[utoipa::path(get, path = path::WHOIS, params(WhoisQuery),
    responses((status = OK, body = Vec<Whois>), Conflict))]
async fn whois(client: Client, QueryString(query): QueryString<WhoisQuery>) -> Answer<Vec<Whois>> {
    let when = when(&query).map_err(Refusal::invalid)?;
    let WhoisQuery { source, network, target, .. } = query;
    let criteria = Criteria { source, network, target, when };
    let (lookup, reader) = client.ask(|reply| Request::Whois(criteria, reply)).await?;
    match spawn_blocking(move || lookup.run(reader.flows())).await {
        Ok(Ok(found)) => Ok(Json(found)),
        Ok(Err(error)) => Err(Refused::Failed(error.to_string()).into()),
        Err(_) => Err(Refusal::ending()),
    }
}

fn when(query: &WhoisQuery) -> Result<When, String> {
    let moment = |key: &str, text: &str| {
        let wrong = |_| format!("`{key}` must be a time in RFC 3339, such as 2026-01-31T12:00:00Z");
        Timestamp::try_from(text.to_owned()).map_err(wrong)
    };
    match (&query.at, &query.since) {
        (None, None) => Ok(When::Now),
        (Some(at), None) => {
            let from = moment("at", at)?;
            // Without a fraction it is the name of a whole second.
            let rest = if at.contains('.') { 0 } else { 999 };
            Ok(When::Between(from, from.after(Duration::from_millis(rest))))
        }
        (None, Some(since)) => moment("since", since).map(When::Since),
        (Some(_), Some(_)) => Err("use either `at` or `since`, not both".into()),
    }
}
