//! What a configuration says about names in the DNS.

use std::{fmt, str::FromStr, time::Duration};

use super::{invalid::Invalid, name::DnsName, number::Period, word::words};

/// How long clients may cache an answer.
pub type DnsTtl = Period<1_000, 86_400_000>;

/// A name in the DNS, or with `*.` before it all names below one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsPattern {
    wildcard: bool,
    name: DnsName,
}

impl DnsPattern {
    /// The name without `*.`.
    pub fn base(&self) -> &DnsName {
        &self.name
    }

    /// Whether it matches all names below its base.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether it matches every name that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        if !self.wildcard {
            return self == other;
        }
        self == other || self.name.is_above(&other.name)
    }
}

impl FromStr for DnsPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let name: DnsName = name.parse().map_err(|_| Invalid::DnsPattern(text.into()))?;
        // `*.` uses two of the 253 bytes that a name may have.
        if wildcard && name.as_str().len() > 251 {
            return Err(Invalid::DnsPattern(text.into()));
        }
        Ok(Self { wildcard, name })
    }
}

impl fmt::Display for DnsPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.wildcard { "*." } else { "" }, self.name)
    }
}

words! {
    /// What the names of a service do while it has no healthy target.
    pub enum DnsUnhealthy {
        /// They resolve as before.
        Keep = "keep",
        /// They do not resolve.
        Withdraw = "withdraw",
    }
}

/// The whole seconds of a period, as records carry them.
pub fn seconds(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> DnsPattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_wildcard_matches_all_names_below() {
        for (one, other, covers) in [
            ("a.internal", "A.internal.", true),
            ("a.internal", "b.a.internal", false),
            ("*.internal", "a.internal", true),
            ("*.internal", "b.a.internal", true),
            ("*.internal", "*.internal", true),
            ("*.internal", "*.a.internal", true),
            ("*.internal", "internal", false),
            ("*.internal", "a.notinternal", false),
            ("*.a.internal", "*.internal", false),
        ] {
            assert_eq!(pattern(one).covers(&pattern(other)), covers, "{one} {other}");
        }
        assert_eq!(pattern("*.A.b").to_string(), "*.a.b");
        for bad in ["*", "*.", "a.*.b", "**.a", "*a.b", "*.*.a", "", "*.10.0.0.1"] {
            assert!(bad.parse::<DnsPattern>().is_err(), "{bad}");
        }
    }
}
