//! The header `Host`, without which, or with two of which, a request may mean different things to
//! different parsers.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, Version, header::HOST},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::refusal::Refusal;

/// Why a request is refused.
pub(super) const AMBIGUOUS: &str = "a request over HTTP/1.1 has exactly one valid `Host` header";

/// Whether the head of a request must be refused for its `Host` (RFC 9112, section 3.2).
pub fn is_ambiguous(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version == Version::HTTP_11,
        (Some(host), None) => !is_valid(host.as_bytes()),
        (Some(_), Some(_)) => true,
    }
}

/// Whether bytes are a name or an address, with or without a port (RFC 3986, section 3.2.2). There
/// may be none, where the target has no authority.
fn is_valid(host: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(byte);
    host.iter().all(allowed)
}

/// Refuses such requests.
pub(super) async fn unambiguous(request: Request, next: Next) -> Response {
    if is_ambiguous(request.version(), request.headers()) {
        return Refusal::new(StatusCode::BAD_REQUEST, AMBIGUOUS).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_host() {
        let of = |hosts: &[&'static str], version| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, host.parse().unwrap());
            }
            is_ambiguous(version, &headers)
        };
        for host in ["", "localhost", "gw-a:9469", "[fd00::1]:80", "10.0.0.1", "%2Frun%2Fsocket"] {
            assert!(!of(&[host], Version::HTTP_11), "{host}");
        }
        for host in ["a b", "a/b", "user@a", "a\"", "a?b", "a#b"] {
            assert!(of(&[host], Version::HTTP_11), "{host}");
        }
        assert!(of(&[], Version::HTTP_11) && !of(&[], Version::HTTP_10));
        assert!(of(&["a", "a"], Version::HTTP_11) && of(&["a", "b"], Version::HTTP_10));
    }
}
