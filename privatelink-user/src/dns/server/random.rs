//! Identifiers of queries that an attacker off the path cannot guess.

use std::hash::{BuildHasher as _, RandomState};

/// Two bytes from the keys of a new hasher, which the standard library seeds from the kernel. The
/// name server gives up every right, so it asks for no other source of randomness.
pub fn unpredictable() -> [u8; 2] {
    let [low, high, ..] = RandomState::new().hash_one(0).to_ne_bytes();
    [low, high]
}
