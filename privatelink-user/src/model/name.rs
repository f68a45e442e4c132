//! Names: of the things in a configuration, of interfaces, and in the DNS.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::invalid::Invalid;

/// The name of a gateway, principal, network, service or endpoint.
///
/// Names become labels in the DNS, where case does not count. Lower case only keeps two things
/// from being one there. Copies share the text: a gateway with many endpoints has many of each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The most characters: a label of a DNS name has no more.
    const LONGEST: usize = 63;

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of another site's service: `SITE/SERVICE`. No object can be declared with it.
    #[must_use]
    pub fn at_site(&self, site: &Self) -> Self {
        Self(format!("{site}/{self}").into())
    }

    /// The site and the service that [`at_site`](Self::at_site) has joined.
    pub fn site_and_service(&self) -> Option<(&str, &str)> {
        self.0.split_once('/')
    }

    /// As `from_str`, but the name may be one of another site's service.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_service(text: &str) -> Result<Self, Invalid> {
        match text.split_once('/') {
            Some((site, service)) => Ok(service.parse::<Self>()?.at_site(&site.parse()?)),
            None => text.parse(),
        }
    }
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let count = text.chars().count();
        if count > Self::LONGEST {
            let begin = text.chars().take(16).collect();
            return Err(Invalid::LongName { begin, length: count });
        }
        let valid = text.starts_with(edge)
            && text.ends_with(edge)
            && text.chars().all(|c| edge(c) || matches!(c, '-' | '_' | '.'));
        if valid { Ok(Self(text.into())) } else { Err(Invalid::Name(text.into())) }
    }
}

impl TryFrom<String> for Name {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::of_service(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interface(String);

impl Interface {
    /// The name as the kernel knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Interface {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // The kernel's own rule, and no control characters, which it would take.
        let valid = (1..=15).contains(&text.len())
            && !matches!(text, "." | "..")
            && !text
                .contains(|c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control());
        if valid { Ok(Self(text.into())) } else { Err(Invalid::Interface(text.into())) }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host name in the DNS, in lower case and without a dot at its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

impl DnsName {
    /// The name in lower case, labels separated by dots.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` lies below this name.
    pub fn is_above(&self, other: &Self) -> bool {
        let below = other.0.strip_suffix(&self.0);
        below.is_some_and(|labels| labels.ends_with('.'))
    }
}

impl FromStr for DnsName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        // A last label of digits only is a mistyped address: no such top-level domain exists.
        let numeric_end = |last: &str| last.chars().all(|c| c.is_ascii_digit());
        let valid = name.len() <= 253
            && name.split('.').all(label)
            && !name.rsplit('.').next().is_some_and(numeric_end);
        if valid { Ok(Self(name)) } else { Err(Invalid::DnsName(text.into())) }
    }
}

impl TryFrom<String> for DnsName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels_in_lower_case() {
        for good in ["a", "acme-payments", "gw_a", "team.acme", "7", &"x".repeat(63)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "Acme", "-a", "a-", "a b", "a/b", "*", "é", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_service_of_another_site_is_named_with_it() {
        let name = Name::of_service("site-b/payments").unwrap();
        assert_eq!(name.site_and_service(), Some(("site-b", "payments")));
        assert_eq!(Name::try_from(String::from(name.clone())), Ok(name));
        for bad in ["site-b/", "/payments", "a/b/c", "a//b"] {
            assert!(Name::of_service(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn interfaces_follow_the_kernels_rule() {
        for good in ["eth0", "veth-acme", "bond0.101", "abcdefghijklmno"] {
            assert!(good.parse::<Interface>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "abcdefghijklmnop"] {
            assert!(bad.parse::<Interface>().is_err(), "{bad}");
        }
    }

    #[test]
    fn dns_names_are_folded_to_lower_case() {
        assert_eq!("Db.Internal.".parse::<DnsName>().unwrap().as_str(), "db.internal");
        for bad in ["", ".", "a..b", "-a.b", "a-.b", "10.0.0.300", "a b", &"a.".repeat(128)] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad}");
        }
    }
}
