//! Which counts have risen lately.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use privatelink_common::Reason;

use super::advice;
use crate::interface::types;

/// How far back is lately.
const LATELY: Duration = Duration::from_secs(300);
/// The time between two looks.
const STEP: Duration = Duration::from_secs(10);

/// Drop counters as they were at some moments of the last minutes.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<(Instant, Vec<(Reason, u64)>)>);

impl Recent {
    /// Whether it is time to note the counters again.
    pub fn is_due(&self, now: Instant) -> bool {
        self.0.back().is_none_or(|(last, _)| now.duration_since(*last) >= STEP)
    }

    /// Notes the counters.
    pub fn note(&mut self, now: Instant, counts: Vec<(Reason, u64)>) {
        // The oldest that stays is the last that is not younger than lately.
        while self.0.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= LATELY) {
            self.0.pop_front();
        }
        self.0.push_back((now, counts));
    }

    /// What has risen since, the most first, for people and scripts.
    pub fn told(&self, now: Instant, counts: &[(Reason, u64)]) -> Vec<types::RecentDrops> {
        let (risen, time) = self.risen(now, counts);
        let told = |(reason, packets): (Reason, u64)| types::RecentDrops {
            reason: reason.name().to_owned(),
            packets,
            seconds: time.as_secs(),
            meaning: reason.meaning().trim().to_owned(),
            advice: advice(reason),
        };
        risen.into_iter().map(told).collect()
    }

    /// By how much each has risen since, the most first, and in which time.
    fn risen(&self, now: Instant, counts: &[(Reason, u64)]) -> (Vec<(Reason, u64)>, Duration) {
        let Some((then, before)) = self.0.front() else { return (Vec::new(), Duration::ZERO) };
        let old = |reason| before.iter().find(|(of, _)| *of == reason).map_or(0, |(_, old)| *old);
        let risen = counts.iter().map(|(reason, new)| (*reason, new.saturating_sub(old(*reason))));
        let mut risen: Vec<(Reason, u64)> = risen.filter(|(_, more)| *more > 0).collect();
        risen.sort_by_key(|(reason, more)| (std::cmp::Reverse(*more), *reason));
        (risen, now.duration_since(*then))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rose_in_the_last_minutes_is_told() {
        let mut recent = Recent::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let counts = |a, b| vec![(Reason::NoFlow, a), (Reason::Rejected, b), (Reason::Options, 7)];
        assert_eq!(recent.risen(at(0), &counts(9, 9)), (Vec::new(), Duration::ZERO));
        assert!(recent.is_due(at(0)));
        for step in 0_u64..=40 {
            assert_eq!(recent.is_due(at((step * 10).saturating_sub(1))), step == 0);
            assert!(recent.is_due(at(step * 10)));
            recent.note(at(step * 10), counts(step, 0));
        }
        // 400 s have gone, and the look at 100 s is the last of five minutes ago.
        let (risen, time) = recent.risen(at(402), &counts(45, 100));
        assert_eq!(risen, [(Reason::Rejected, 100), (Reason::NoFlow, 35)]);
        assert_eq!(time, Duration::from_secs(302));
        assert_eq!(recent.0.len(), 31);
    }
}
