//! The programs and the URL that receive events without asking for them.

use std::{fmt, path::PathBuf, str::FromStr};

use super::{
    invalid::Invalid,
    secret::{MASK, Url, redacted},
};

/// The programs and the URL that receive each event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// Programs, each of which is started for each event.
    pub hooks: Vec<PathBuf>,
    /// The unix user that they run as, if the daemon is root.
    pub hook_user: Option<String>,
    /// Where each event is posted.
    pub webhook: Option<WebhookUrl>,
    /// A file with the certificates that sign the webhook's; without it, those that the host
    /// trusts.
    pub webhook_ca_file: Option<PathBuf>,
}

impl Subscriptions {
    /// Default of `hook_user`.
    pub const DEFAULT_HOOK_USER: &str = "nobody";
}

/// An address such as `https://events.example.net/privatelink`.
///
/// Who knows the path may post, with many services: `Display` and `Debug` show scheme and host only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebhookUrl(hyper::Uri);

impl WebhookUrl {
    /// Whether the scheme is https.
    pub fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host: a name, or an address (of IPv6 without brackets).
    pub fn host(&self) -> &str {
        let host = self.0.host().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The host and the port as they stand in the address.
    pub fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    /// The port of the address, or the default of its scheme.
    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 })
    }

    /// The path and the query.
    pub fn path(&self) -> &str {
        self.0.path_and_query().map_or("/", |path| path.as_str())
    }
}

impl FromStr for WebhookUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Without the marks of a URL there is no telling what of it is secret.
        let shown = if text.contains("://") { redacted(text, Url::Path) } else { MASK.to_owned() };
        let invalid = || Invalid::Url(shown.clone());
        let uri: hyper::Uri = text.parse().map_err(|_| invalid())?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let secret = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        // A password without a host, such as `https://user:password/`, reads like a port.
        let port = uri.authority().is_none_or(|authority| has_sound_port(authority.as_str()));
        if known && host && !secret && port { Ok(Self(uri)) } else { Err(invalid()) }
    }
}

/// Whether what follows the host, if anything, is a number.
fn has_sound_port(authority: &str) -> bool {
    let port = authority.rsplit_once(':').filter(|_| !authority.ends_with(']'));
    port.is_none_or(|(_, port)| port.parse::<u16>().is_ok())
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0.to_string(), Url::Path))
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_scheme_and_host_is_shown() {
        let url: WebhookUrl =
            "https://hooks.example:8443/services/s3cret?k=s3cret".parse().unwrap();
        for shown in [url.to_string(), format!("{url:?}")] {
            assert_eq!(shown, "https://hooks.example:8443/***");
        }
        let error = "https://u:s3cret@a.example/s3cret".parse::<WebhookUrl>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        let error = "s3cret".parse::<WebhookUrl>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (text, secure, host, port, path) in [
            ("http://10.0.0.1", false, "10.0.0.1", 80, "/"),
            ("https://a.example/x?y=z", true, "a.example", 443, "/x?y=z"),
            ("http://[fd00::1]:8080/", false, "fd00::1", 8080, "/"),
        ] {
            let url: WebhookUrl = text.parse().unwrap();
            assert_eq!((url.is_secure(), url.host()), (secure, host), "{text}");
            assert_eq!((url.port(), url.path()), (port, path), "{text}");
        }
        for bad in [
            "",
            "a.example",
            "/x",
            "ftp://a.example",
            "http://",
            "https://u:p@a.example",
            "https://u:p/x",
        ] {
            assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
        }
    }
}
