//! Wrong access keys: whoever brings them waits, and they are counted and logged.
//!
//! Nobody finds a key of 256 bits by trying. The wait keeps a caller with a wrong key, or a scanner,
//! from occupying the daemon and its log; a right key from the same address does not wait.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use log::warn;

use super::front::prefix;

/// How long an address is remembered, and at most how often it is logged.
const MEMORY: Duration = Duration::from_secs(60);
/// The wait after the first wrong key; it doubles with each.
const FIRST: Duration = Duration::from_millis(500);
/// How often it doubles.
const MOST_DOUBLINGS: u32 = 5;
/// Addresses that are remembered.
const REMEMBERED: usize = 1_024;

static TOTAL: AtomicU64 = AtomicU64::new(0);

/// How many requests were refused since the daemon was started because they brought no key of this
/// gateway, and no certificate in its place.
pub fn wrong_keys() -> u64 {
    TOTAL.load(Ordering::Relaxed)
}

/// What is remembered of callers with wrong keys.
#[derive(Debug, Default)]
pub(super) struct WrongKeys(BTreeMap<IpAddr, Caller>);

#[derive(Debug)]
struct Caller {
    wrong: u32,
    last: Instant,
    logged: Instant,
    unlogged: u64,
}

impl WrongKeys {
    /// Notes one; returns how long the refusal waits.
    pub fn note(&mut self, address: IpAddr, now: Instant) -> Duration {
        TOTAL.fetch_add(1, Ordering::Relaxed);
        let prefix = prefix(address);
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&prefix) {
            self.0.retain(|_, one| now.duration_since(one.last) < MEMORY);
        }
        let longest = FIRST * 2_u32.pow(MOST_DOUBLINGS);
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&prefix) {
            return longest;
        }
        let new = !self.0.contains_key(&prefix);
        let fresh = || Caller { wrong: 0, last: now, logged: now, unlogged: 0 };
        let caller = self.0.entry(prefix).or_insert_with(fresh);
        if now.duration_since(caller.last) >= MEMORY {
            caller.wrong = 0;
        }
        let wait = FIRST * 2_u32.pow(caller.wrong.min(MOST_DOUBLINGS));
        caller.wrong = caller.wrong.saturating_add(1);
        (caller.last, caller.unlogged) = (now, caller.unlogged + 1);
        if new || now.duration_since(caller.logged) >= MEMORY {
            warn!(
                "{} requests from {prefix} brought no access key of this gateway",
                caller.unlogged
            );
            (caller.logged, caller.unlogged) = (now, 0);
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_key_waits_longer_until_a_minute_has_passed() {
        let mut known = WrongKeys::default();
        let (begin, address) = (Instant::now(), IpAddr::from([10, 1, 0, 2]));
        let before = wrong_keys();
        let waits: Vec<u128> = (0..8).map(|_| known.note(address, begin).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
        assert!(wrong_keys() >= before + 8);
        assert_eq!(known.note([10, 1, 0, 3].into(), begin), FIRST, "another address");
        assert_eq!(known.note(address, begin + MEMORY), FIRST);
    }

    #[test]
    fn what_is_remembered_is_limited() {
        let mut known = WrongKeys::default();
        let now = Instant::now();
        for number in 0..5_000_u32 {
            known.note(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!(known.0.len(), REMEMBERED);
        assert!(known.note([1, 2, 3, 4].into(), now) > FIRST);
        assert_eq!(known.note([1, 2, 3, 4].into(), now + MEMORY), FIRST);
    }
}
