//! Answers with something in their head: a part of a list, and an object with its tag.

use axum::{
    Json,
    http::{
        HeaderName, HeaderValue,
        header::{ETAG, LINK},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::refusal::Refusal;
use crate::interface::types::PageQuery;

/// Part of a list, and the path that leads to the next one.
pub(super) struct Page<T> {
    part: Vec<T>,
    next: Option<String>,
}

impl<T> Page<T> {
    /// The part of a list in order that the query asks for. Names need no escaping in a query; the
    /// path may have one already.
    pub fn of(
        all: Vec<T>,
        path: &str,
        query: &PageQuery,
        name: impl Fn(&T) -> String,
    ) -> Result<Self, Refusal> {
        let limit = query.limit.unwrap_or(u32::MAX);
        if limit == 0 || query.limit.is_some_and(|limit| limit > PageQuery::MOST) {
            let error = format!("`limit` must be from 1 to {}", PageQuery::MOST);
            return Err(Refusal::invalid(error));
        }
        let after = query.after.as_deref().unwrap_or_default();
        let mut rest = all.into_iter().filter(|one| name(one).as_str() > after);
        let part: Vec<T> = rest.by_ref().take(limit as usize).collect();
        let more = rest.next().is_some();
        let last = part.last().filter(|_| more).map(name);
        let sign = if path.contains('?') { '&' } else { '?' };
        let next =
            last.map(|last| format!("<{path}{sign}after={last}&limit={limit}>; rel=\"next\""));
        Ok(Self { part, next })
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        (head(LINK, self.next), Json(self.part)).into_response()
    }
}

/// An object, and the tag of its content if the API has made it.
pub(super) struct Tagged<T>(pub Option<String>, pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let tag = self.0.map(|tag| format!("\"{tag}\""));
        (head(ETAG, tag), Json(self.1)).into_response()
    }
}

/// A header that may be absent.
fn head(name: HeaderName, value: Option<String>) -> axum::http::HeaderMap {
    let value = value.and_then(|value| HeaderValue::try_from(value).ok());
    value.map(|value| (name, value)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Option<(Vec<&'static str>, Option<String>)> {
        let query = PageQuery { after: after.map(Into::into), limit };
        let page = Page::of(vec!["a", "b", "c"], "/v1/x", &query, ToString::to_string).ok()?;
        Some((page.part, page.next))
    }

    #[test]
    fn pages_follow_each_other() {
        assert_eq!(page(None, None), Some((vec!["a", "b", "c"], None)));
        let next = Some("</v1/x?after=b&limit=2>; rel=\"next\"".to_owned());
        assert_eq!(page(None, Some(2)), Some((vec!["a", "b"], next)));
        assert_eq!(page(Some("b"), Some(2)), Some((vec!["c"], None)));
        assert_eq!(page(Some("bb"), Some(1)), Some((vec!["c"], None)));
        assert_eq!((page(None, Some(0)), page(None, Some(10_001))), (None, None));
    }
}
