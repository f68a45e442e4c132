//! How often a caller may test: each test sends connections to targets, and takes time of the
//! processor.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::token_bucket::{Rate, TokenBucket};

/// What each caller may do.
const RATE: Rate = Rate { burst: 10, refill: Duration::from_secs(3) };

/// How much of it each has done, by principals.
#[derive(Debug, Default)]
pub struct Pace(BTreeMap<String, TokenBucket>);

impl Pace {
    /// Whether a caller who acts for `whom` may test now; if so, the test counts.
    pub fn admits(&mut self, whom: String, now: Instant) -> bool {
        self.0.retain(|_, bucket| !bucket.is_full(RATE, now));
        self.0.entry(whom).or_insert_with(|| TokenBucket::full(now)).take(RATE, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_does_not_take_the_turn_of_another() {
        let mut pace = Pace::default();
        let begin = Instant::now();
        let mut tests = |whom: &str, count: usize, seconds| {
            let now = begin + Duration::from_secs(seconds);
            (0..count).filter(|_| pace.admits(whom.into(), now)).count()
        };
        assert_eq!(tests("acme", 30, 0), 10);
        assert_eq!(tests("globex", 3, 0), 3);
        assert_eq!(tests("acme", 30, 3), 1);
        tests("globex", 1, 1_000);
        assert_eq!(pace.0.len(), 1, "who asks no more is forgotten");
    }
}
