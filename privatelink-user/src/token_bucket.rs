//! Token buckets: so many at once, and then one in a while.

use std::time::{Duration, Instant};

/// What a bucket allows.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// The time after which there may be one more.
    pub refill: Duration,
}

/// How much of a [`Rate`] has been used.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    spent: u32,
    /// Since when tokens have been added.
    since: Instant,
}

impl TokenBucket {
    /// A bucket of which nothing has been used.
    pub fn full(now: Instant) -> Self {
        Self { spent: 0, since: now }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let takes = self.spent < rate.burst;
        self.spent += u32::from(takes);
        takes
    }

    /// Whether nothing of it is in use any more, so that it can be forgotten.
    pub fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.spent == 0
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        let periods = elapsed.as_nanos() / rate.refill.as_nanos().max(1);
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.spent = self.spent.saturating_sub(periods);
        self.since = if self.spent == 0 { now } else { self.since + rate.refill * periods };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_allows_a_burst_and_then_one_in_a_while() {
        let rate = Rate { burst: 5, refill: Duration::from_secs(2) };
        let begin = Instant::now();
        let mut bucket = TokenBucket::full(begin);
        let mut takes = |count: u32, seconds| {
            let now = begin + Duration::from_secs(seconds);
            (0..count).filter(|_| bucket.take(rate, now)).count()
        };
        assert_eq!(takes(9, 0), 5);
        assert_eq!(takes(9, 1), 0);
        assert_eq!(takes(9, 3), 1);
        assert_eq!(takes(9, 4), 1, "the rest of a period counts");
        assert_eq!(takes(9, 1_000_000), 5);
        assert!(!bucket.is_full(rate, begin + Duration::from_secs(1_000_008)));
        assert!(bucket.is_full(rate, begin + Duration::from_secs(1_000_010)));
    }
}
