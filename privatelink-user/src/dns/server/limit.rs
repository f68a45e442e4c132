//! How much of the answers each part of a network gets.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    time::Instant,
};

/// Parts of a network that are told apart. Others share: it is their own network's doing.
const BUCKETS: usize = 4_096;

/// Buckets of answers, one for each /24 or /64 that asks; each fills up within a second.
#[derive(Debug)]
pub struct Limiter {
    rate: u64,
    start: Instant,
    keys: RandomState,
    buckets: Box<[Bucket]>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of answers.
    left: u64,
    /// When it was filled last, in milliseconds.
    filled: u64,
    refused: u32,
}

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Its answer.
    Answer,
    /// The word that it should come by TCP, which forged addresses cannot.
    Truncated,
    /// Nothing.
    Nothing,
}

impl Limiter {
    /// Allows so many answers in a second to each part.
    pub fn new(rate: u64) -> Self {
        let full = Bucket { left: rate.saturating_mul(1_000), filled: 0, refused: 0 };
        Self {
            rate,
            start: Instant::now(),
            keys: RandomState::new(),
            buckets: vec![full; BUCKETS].into_boxed_slice(),
        }
    }

    /// What an answer to this client at this time would be too much for.
    pub fn share(&mut self, client: IpAddr, now: Instant) -> Allowance {
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
        // Half of what is too much is told, so that real clients find the other way.
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
    fn each_prefix_has_its_share_and_it_comes_back() {
        let mut limiter = Limiter::new(100);
        let begin = limiter.start;
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut answers = |client: &str, count: usize, millis: u64| {
            let now = begin + Duration::from_millis(millis);
            let shares: Vec<Allowance> =
                (0..count).map(|_| limiter.share(ip(client), now)).collect();
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
