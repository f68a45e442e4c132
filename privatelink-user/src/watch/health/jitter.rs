//! Random delays, which spread the checks of many targets.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// Pseudo-random durations; they need not resist prediction.
#[derive(Debug)]
pub(super) struct Jitter {
    key: RandomState,
    drawn: u64,
}

impl Jitter {
    /// A generator with another seed in each process.
    pub fn seeded() -> Self {
        Self { key: RandomState::new(), drawn: 0 }
    }

    /// A uniformly distributed duration below `limit`.
    pub fn below(&mut self, limit: Duration) -> Duration {
        self.drawn = self.drawn.wrapping_add(1);
        let part = (self.key.hash_one(self.drawn) >> 32) as u32;
        limit.mul_f64(f64::from(part) / 2f64.powi(32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_cover_the_range() {
        let mut jitter = Jitter::seeded();
        let second = Duration::from_secs(1);
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let drawn = jitter.below(second);
            assert!(drawn < second);
            tenths[usize::try_from(drawn.as_millis() / 100).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (700..1300).contains(count)), "{tenths:?}");
    }
}
