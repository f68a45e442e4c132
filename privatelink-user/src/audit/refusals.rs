//! How many refusals of one caller are written one by one: a caller without rights must not be able
//! to fill the disk.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::token_bucket::{Rate, TokenBucket};

/// What is written of one caller; the rest is counted, and said with the next that is written.
const RATE: Rate = Rate { burst: 60, refill: Duration::from_secs(2) };
/// Callers that are remembered; all further ones share an entry.
const REMEMBERED: usize = 256;

/// What each caller was refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<String, (TokenBucket, u64)>);

impl Refusals {
    /// Whether a refusal of this caller is written; if so, how many before were not.
    pub fn admit(&mut self, caller: &str, now: Instant) -> Option<u64> {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(caller) {
            self.0.retain(|_, (bucket, omitted)| *omitted != 0 || !bucket.is_full(RATE, now));
        }
        let full = self.0.len() >= REMEMBERED && !self.0.contains_key(caller);
        let caller = if full { String::new() } else { caller.to_owned() };
        let (bucket, omitted) = self.0.entry(caller).or_insert_with(|| (TokenBucket::full(now), 0));
        if bucket.take(RATE, now) {
            return Some(std::mem::take(omitted));
        }
        *omitted += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_fills_no_disk_and_hides_no_other() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let written = (0..1_000).filter(|_| refusals.admit("a", now).is_some()).count();
        assert_eq!(written, 60);
        assert_eq!(refusals.admit("b", now), Some(0));
        assert_eq!(refusals.admit("a", now + RATE.refill), Some(940));
        for number in 0..10_000 {
            refusals.admit(&number.to_string(), now);
        }
        assert!(refusals.0.len() <= REMEMBERED + 1);
    }
}
