//! Values that must not be shown: not in logs, status, metrics or events, nor by `{:?}`.

use std::{fmt, ops::Range};

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// A token or password. It has no `Display`, and `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether `text` is the secret. Takes the same time wherever they differ.
    pub fn is(&self, text: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), text.as_bytes());
        let differing = own.iter().zip(other).fold(0, |found, (a, b)| found | (a ^ b));
        own.len() == other.len() && std::hint::black_box(differing) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// How much of a URL counts as secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Url {
    /// User, password and query.
    Query,
    /// The path as well: the URL of a webhook is a secret as a whole.
    Path,
}

/// The text with a mask in place of what looks like a secret: users, passwords and queries of URLs,
/// tokens behind `Bearer` or `Basic`, and values of `password=` and the like.
pub fn redacted(text: &str, url: Url) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for secret in secrets(text, url) {
        shown += text.get(end..secret.start).unwrap_or_default();
        shown += MASK;
        end = secret.end;
    }
    shown + text.get(end..).unwrap_or_default()
}

/// The text with `*` in place of each byte of what looks like a secret, so that places stay where
/// they are.
pub fn blanked(text: &str, url: Url) -> String {
    let mut shown = text.to_owned();
    for secret in secrets(text, url) {
        let stars = "*".repeat(secret.len());
        shown.replace_range(secret, &stars);
    }
    shown
}

/// Words that come before a secret, and are followed by `=` or `:`.
const KEYS: [&str; 7] =
    ["password", "passwd", "secret", "token", "api_key", "apikey", "access_key"];
/// Words that come before a secret, and are followed by a space.
const SCHEMES: [&str; 2] = ["bearer", "basic"];
/// What no token is shorter than.
const SHORTEST: usize = 6;

/// The ranges of secrets, in order and apart from each other.
fn secrets(text: &str, url: Url) -> Vec<Range<usize>> {
    let mut found = in_urls(text, url);
    // ASCII letters only change, so places stay.
    let lower = text.to_ascii_lowercase();
    for key in KEYS {
        for (at, _) in lower.match_indices(key) {
            let rest = lower.get(at + key.len()..).unwrap_or_default();
            let trimmed = rest.trim_start_matches(['"', '\'', ' ']);
            let Some(value) = trimmed.strip_prefix(['=', ':']) else { continue };
            found.extend(word(&lower, value.trim_start_matches(['"', '\'', ' '])));
        }
    }
    for scheme in SCHEMES {
        for (at, _) in lower.match_indices(scheme) {
            let rest = lower.get(at + scheme.len()..).unwrap_or_default();
            let token = rest.trim_start_matches(' ');
            let token = word(&lower, token).filter(|token| token.len() >= SHORTEST);
            found.extend(token.filter(|_| rest.starts_with(' ')));
        }
    }
    found.sort_by_key(|range| (range.start, range.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in found {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

/// The range of the first word of `rest`, which is the end of `text`; `None` if there is none.
fn word(text: &str, rest: &str) -> Option<Range<usize>> {
    let start = text.len() - rest.len();
    let length = rest.find(ends).unwrap_or(rest.len());
    (length != 0).then(|| start..start + length)
}

/// Whether a URL or token ends here.
fn ends(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(character, '"' | '\'' | '`' | '<' | '>' | ',' | ';')
}

fn in_urls(text: &str, url: Url) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, colon) in text.match_indices("://") {
        let start = at + colon.len();
        let rest = text.get(start..).unwrap_or_default();
        let rest = rest.get(..rest.find(ends).unwrap_or(rest.len())).unwrap_or_default();
        let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        // A password may contain what it should not, such as a slash.
        let user = rest.rfind('@').unwrap_or(0);
        if user != 0 {
            found.push(start..start + user);
        }
        // What stands in the place of a port and is none may be a password without a user's host.
        let host = rest.get(..authority).unwrap_or_default();
        if let Some((name, port)) = host.rsplit_once(':').filter(|_| user == 0)
            && !host.ends_with(']')
            && !port.chars().all(|one| one.is_ascii_digit())
        {
            found.push(start + name.len() + 1..start + authority);
        }
        let hidden = match url {
            Url::Query => rest.find(['?', '#']).unwrap_or(rest.len()),
            Url::Path => authority,
        };
        if hidden + 1 < rest.len() {
            found.push(start + hidden + 1..start + rest.len());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_only_itself() {
        let secret = Secret::new("s3cr3t-t0ken");
        assert_eq!(format!("{secret:?}"), MASK);
        assert!(secret.is("s3cr3t-t0ken"));
        for other in ["", "s3cr3t-t0keN", "s3cr3t-t0ken ", "s3cr3t-t0ke"] {
            assert!(!secret.is(other), "{other}");
        }
    }

    #[test]
    fn secrets_are_masked_and_the_rest_stays() {
        for (text, shown) in [
            ("", ""),
            ("nothing: here = is secret", "nothing: here = is secret"),
            ("see https://a.example/x for more", "see https://a.example/x for more"),
            ("https://u:p@a.example/x", "https://***@a.example/x"),
            ("https://u:p/q@a.example", "https://***@a.example"),
            ("https://u:pass/q", "https://u:***/q"),
            (
                "https://[fd00::1]:443/q http://[fd00::1]/",
                "https://[fd00::1]:443/q http://[fd00::1]/",
            ),
            ("(https://a.example/x?key=1#z)", "(https://a.example/x?***"),
            ("\"https://a.example?k=1\", next", "\"https://a.example?***\", next"),
            ("Authorization: Bearer abcdef123", "Authorization: Bearer ***"),
            ("the bearer of news", "the bearer of news"),
            ("password=hunter2 and token: \"x\"", "password=*** and token: \"***\""),
            ("é https://ü:ä@a é", "é https://***@a é"),
        ] {
            assert_eq!(redacted(text, Url::Query), shown, "{text}");
        }
        let hook = "post to https://hooks.example/services/T1/B2?x=1 now";
        assert_eq!(redacted(hook, Url::Path), "post to https://hooks.example/*** now");
    }

    #[test]
    fn places_stay_where_something_is_blanked() {
        let line = "webhook = \"https://ü:p@a.example/t\" # é";
        let blank = blanked(line, Url::Path);
        assert_eq!(blank.len(), line.len());
        assert_eq!(blank.find('#'), line.find('#'));
        assert!(blank.contains("@a.example/*\"") && !blank.contains("p@"), "{blank}");
    }
}
