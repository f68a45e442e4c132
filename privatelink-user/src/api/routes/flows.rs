//! The paths of flows. Their lists are made by threads besides the daemon's loop, and sent as
//! they are made.

use std::{convert::Infallible, ops::ControlFlow};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use privatelink_common::{TCP, UDP, flow::Phase};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use super::{OMITTED, Question, Refusal, Requests, answer, ask, problem};
use crate::{
    access::Peer,
    api::request::{Flows, Refused, Request},
    interface::{
        path,
        types::{Flow, FlowQuery, Problem, Whois, WhoisQuery},
    },
    timestamp::Timestamp,
    view::{
        flows::Filter,
        whois::{Asked, When},
    },
};

/// Answers are sent in parts of about this many bytes.
const PART: usize = 64 * 1024;

/// How far flows may have come.
const STATES: [Phase; 5] =
    [Phase::Opening, Phase::Answered, Phase::Established, Phase::HalfClosed, Phase::Closing];

/// The flows that are asked for
#[utoipa::path(get, path = path::FLOWS, params(FlowQuery), responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Vec<Flow>, headers(
        ("privatelink-omitted" = u64, description = "How many flows are not in the answer"),
    )),
    (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    (status = CONFLICT, body = Problem), (status = SERVICE_UNAVAILABLE, body = Problem),
))]
pub(super) async fn flows(
    peer: Peer,
    State(requests): Requests,
    Question(query): Question<FlowQuery>,
) -> Response {
    if query.limit.is_some_and(|limit| !(1..=FlowQuery::MAX_LIMIT).contains(&limit)) {
        let error = format!("`limit` must be from 1 to {}", FlowQuery::MAX_LIMIT);
        return problem(StatusCode::BAD_REQUEST, error);
    }
    let filter = match filter(&query) {
        Ok(filter) => filter,
        Err(error) => return problem(StatusCode::BAD_REQUEST, error),
    };
    match ask(&requests, &peer, |reply| Request::Flows(query, filter, reply)).await {
        Ok(flows) => list(flows).await,
        Err(refusal) => refusal.into_response(),
    }
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

/// Sends a list while it is being made. Whoever reads it slowly keeps nothing but its thread.
async fn list(flows: Flows) -> Response {
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
    let Ok(omitted) = counted.await else {
        return Refusal::Unavailable("the daemon is ending").into_response();
    };
    let body = stream::unfold(sent, |mut sent| async {
        let part = sent.recv().await?;
        Some((Ok::<_, Infallible>(part), sent))
    });
    let json = HeaderValue::from_static("application/json");
    let headers = [(OMITTED, HeaderValue::from(omitted)), (CONTENT_TYPE, json)];
    (headers, Body::from_stream(body)).into_response()
}

/// Who stands behind a source address and port
#[utoipa::path(get, path = path::WHOIS, params(WhoisQuery), responses(
    (status = FORBIDDEN, body = Problem), (status = OK, body = Vec<Whois>), (status = BAD_REQUEST, body = Problem),
    (status = CONFLICT, body = Problem), (status = SERVICE_UNAVAILABLE, body = Problem),
))]
pub(super) async fn whois(
    peer: Peer,
    State(requests): Requests,
    Question(query): Question<WhoisQuery>,
) -> Response {
    let when = match when(&query) {
        Ok(when) => when,
        Err(error) => return problem(StatusCode::BAD_REQUEST, error),
    };
    let WhoisQuery { source, network, target, .. } = query;
    let asked = Asked { source, network, target, when };
    let search = match ask(&requests, &peer, |reply| Request::Whois(asked, reply)).await {
        Ok(search) => search,
        Err(refusal) => return refusal.into_response(),
    };
    let (search, reader) = search;
    let found = spawn_blocking(move || search.run(reader.flows())).await;
    answer(match found {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Refusal::Refused(Refused::Failed(error.to_string()))),
        Err(_) => Err(Refusal::Unavailable("the daemon is ending")),
    })
}

fn when(query: &WhoisQuery) -> Result<When, String> {
    let moment = |key: &str, text: &str| {
        let wrong = |_| format!("`{key}` must be a time in RFC 3339, such as 2026-01-31T12:00:00Z");
        Timestamp::try_from(text.to_owned()).map_err(wrong)
    };
    match (&query.at, &query.since) {
        (None, None) => Ok(When::Now),
        (Some(at), None) => moment("at", at).map(When::At),
        (None, Some(since)) => moment("since", since).map(When::Since),
        (Some(_), Some(_)) => Err("`at` and `since` exclude each other".into()),
    }
}
