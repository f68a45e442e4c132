//! Limits the rate of answers to each prefix of a network.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    time::Instant,
};

/// Number of buckets. Prefixes that collide share one; they belong to the same network.
const BUCKETS: usize = 4_096;

/// Token buckets, one for each /24 or /64; each holds the answers of one second.
#[derive(Debug)]
pub struct Limiter {
    rate: u64,
    start: Instant,
    keys: RandomState,
    buckets: Box<[Bucket]>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of an answer that are left.
    left: u64,
    /// Time of the last refill, in milliseconds since the start.
    filled: u64,
    refused: u32,
}

/// How to treat a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Answer it.
    Answer,
    /// Send a truncated answer: a real client retries over TCP, a forged address cannot.
    Truncated,
    /// Send nothing.
    Nothing,
}

impl Limiter {
    /// Allows `rate` answers a second to each prefix.
    pub fn new(rate: u64) -> Self {
        let full = Bucket { left: rate.saturating_mul(1_000), filled: 0, refused: 0 };
        Self {
            rate,
            start: Instant::now(),
            keys: RandomState::new(),
            buckets: vec![full; BUCKETS].into_boxed_slice(),
        }
    }

    /// Takes one answer from the client's bucket, if there is one left.
    pub fn allowance(&mut self, client: IpAddr, now: Instant) -> Allowance {
        let now = u64::try_from(now.saturating_duration_since(self.start).as_millis());
        let now = now.unwrap_or(u64::MAX);
        let hash = self.keys.hash_one(prefix(client));
        let index = usize::try_from(hash).unwrap_or(0) % BUCKETS;
        let Some(bucket) = self.buckets.get_mut(index) else { return Allowance::Nothing };
        let full = self.rate.saturating_mul(1_000);
        let gained = now.saturating_sub(bucket.filled).saturating_mul(self.rate);
        bucket.left = bucket.left.saturating_add(gained).min(full);
        bucket.filled = now;
        if let Some(left) = bucket.left.checked_sub(1_000) {
            bucket.left = left;
            return Allowance::Answer;
        }
        bucket.refused = bucket.refused.wrapping_add(1);
        // Half of the refused queries get a truncated answer, so that real clients retry over TCP.
        if bucket.refused.is_multiple_of(2) { Allowance::Truncated } else { Allowance::Nothing }
    }
}

fn prefix(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_prefix_has_a_bucket_that_refills() {
        let mut limiter = Limiter::new(100);
        let begin = limiter.start;
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut answers = |client: &str, count: usize, millis: u64| {
            let now = begin + Duration::from_millis(millis);
            let shares: Vec<Allowance> =
                (0..count).map(|_| limiter.allowance(ip(client), now)).collect();
            let count = |share| shares.iter().filter(|one| **one == share).count();
            [count(Allowance::Answer), count(Allowance::Truncated), count(Allowance::Nothing)]
        };
        assert_eq!(answers("10.1.0.2", 140, 0), [100, 20, 20]);
        assert_eq!(answers("10.1.0.99", 2, 0), [0, 1, 1], "the same /24");
        assert_eq!(answers("10.1.1.2", 10, 0), [10, 0, 0], "another /24");
        assert_eq!(answers("fd00::1", 101, 0), [100, 0, 1]);
        assert_eq!(answers("10.1.0.2", 12, 100), [10, 1, 1], "a tenth of a second later");
        assert_eq!(answers("10.1.0.2", 200, 60_000)[0], 100, "no more than a second's worth");
    }
}
