//! Who holds an access key, and its public part.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{digest::hexadecimal, model::Name};

/// Bytes of a key's public part.
pub(super) const ID: usize = 6;

/// The public part of a key: it names the key, and opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

/// A text that is the public part of no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of an access key has {} digits from 0 to f", 2 * ID)]
pub struct NoKeyId;

/// Whom a key acts for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// The gateway's administrators.
    Administrators,
    /// A principal.
    Principal(Name),
}

impl KeyId {
    /// The public part that these random bytes make.
    pub(super) fn of(random: &[u8; ID]) -> Self {
        Self(hexadecimal(random))
    }
}

impl Holder {
    /// The principal, if it is one.
    pub fn principal(&self) -> Option<&Name> {
        match self {
            Self::Administrators => None,
            Self::Principal(name) => Some(name),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administrators => f.write_str("administrators"),
            Self::Principal(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = NoKeyId;

    fn from_str(text: &str) -> Result<Self, NoKeyId> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for KeyId {
    type Error = NoKeyId;

    fn try_from(text: String) -> Result<Self, NoKeyId> {
        let fits = text.len() == 2 * ID && text.bytes().all(is_digit);
        if fits { Ok(Self(text)) } else { Err(NoKeyId) }
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

pub(super) fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}
