//! Access keys: what their holders may do, and the digest by which a key is recognized.
//!
//! The secret of a key is 256 random bits, so a plain digest is enough: nobody finds the secret by
//! trying, and a slow digest would only make each request cost more.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use ring::rand::{self, SystemRandom};
use serde::{Deserialize, Serialize};

pub use super::key_holder::{Holder, KeyId, NoKeyId};
use super::{
    connection::Author,
    key_holder::{ID, is_digit},
};
use crate::{
    digest::{hexadecimal, sha256},
    model::Secret,
    timestamp::Timestamp,
};

/// Every access key, by its public part.
pub type Keys = BTreeMap<KeyId, Key>;

/// How the text of a key begins, so that scanners for secrets find keys.
const PREFIX: &str = "plk";
/// Bytes of a key's secret.
const SECRET: usize = 32;
/// The most keys that one principal, or all administrators together, may have.
pub const MOST_KEYS: usize = 100;

/// An access key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The digest of its secret.
    digest: String,
    /// Whom it acts for.
    pub holder: Holder,
    /// Whether it may only read.
    pub read_only: bool,
    /// When it was made.
    pub made: Timestamp,
    /// Who made it.
    pub by: Author,
    /// When it ends; `None` is never.
    pub expires: Option<Timestamp>,
    /// Its last use, as far as that has been written: see [`Key::used`].
    pub used: Option<KeyUse>,
}

/// A use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub from: IpAddr,
}

/// A key as its holder brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedKey {
    /// Which key.
    pub id: KeyId,
    digest: String,
}

/// The system has no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

impl Key {
    /// Makes a key; returns also its public part, and the text that is shown once.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn make(
        holder: Holder,
        read_only: bool,
        by: Author,
        now: Timestamp,
        period: Option<Duration>,
    ) -> Result<(KeyId, Self, String), NoRandomness> {
        let random = SystemRandom::new();
        let id = rand::generate::<[u8; ID]>(&random).map_err(|_| NoRandomness)?.expose();
        let secret = rand::generate::<[u8; SECRET]>(&random).map_err(|_| NoRandomness)?.expose();
        let (id, secret) = (KeyId::of(&id), hexadecimal(&secret));
        let text = format!("{PREFIX}_{id}_{secret}");
        let expires = period.map(|period| now.after(period));
        let digest = sha256(secret.as_bytes());
        Ok((id, Self { digest, holder, read_only, made: now, by, expires, used: None }, text))
    }

    /// Whether this is the key that was presented. Takes the same time wherever the two differ.
    pub fn is(&self, presented: &PresentedKey) -> bool {
        Secret::new(&self.digest).is(&presented.digest)
    }

    /// Whether it has ended.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

impl PresentedKey {
    /// Reads the text of a key; `None` if it is none.
    pub fn read(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
        let fits = secret.len() == 2 * SECRET && secret.bytes().all(is_digit);
        let id = id.parse().ok().filter(|_| fits)?;
        Some(Self { id, digest: sha256(secret.as_bytes()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make() -> (KeyId, Key, String) {
        let holder = Holder::Principal("acme".parse().unwrap());
        let now = Timestamp::from_millis(1_000);
        Key::make(holder, false, Author::Rule, now, Some(Duration::from_secs(9))).unwrap()
    }

    #[test]
    fn a_key_is_recognized_by_its_whole_text_only() {
        let (id, key, text) = make();
        let presented = PresentedKey::read(&text).unwrap();
        assert_eq!(presented.id, id);
        assert!(key.is(&presented));
        let (_, other, other_text) = make();
        assert!(!other.is(&presented) && text != other_text);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let altered = PresentedKey::read(&String::from_utf8(bytes).unwrap());
            assert!(altered.is_none_or(|one| one.id != id || !key.is(&one)), "{at}");
        }
        for wrong in ["", "plk", "plk_", "plk__", &text[1..], &text[..text.len() - 1]] {
            assert_eq!(PresentedKey::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nothing_that_is_kept_or_shown_has_the_secret() {
        let (_, key, text) = make();
        let secret = text.rsplit('_').next().unwrap();
        let kept = serde_json::to_string(&key).unwrap();
        let shown = format!("{key:?}{:?}", PresentedKey::read(&text));
        assert!(!kept.contains(secret) && !shown.contains(secret));
    }

    #[test]
    fn a_key_ends_when_its_period_does() {
        let (_, key, _) = make();
        assert!(!key.has_expired(Timestamp::from_millis(9_999)));
        assert!(key.has_expired(Timestamp::from_millis(10_000)));
    }
}
