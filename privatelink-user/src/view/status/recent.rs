//! The drop counters that have risen in the last minutes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use privatelink_common::Reason;

use crate::interface::types;

/// The period that counts as recent.
const LATELY: Duration = Duration::from_secs(300);
/// The time between two samples.
const STEP: Duration = Duration::from_secs(10);

/// Samples of the drop counters from the last minutes.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<(Instant, Vec<(Reason, u64)>)>);

impl Recent {
    /// Whether the next sample is due.
    pub fn is_due(&self, now: Instant) -> bool {
        self.0.back().is_none_or(|(last, _)| now.duration_since(*last) >= STEP)
    }

    /// Adds a sample.
    pub fn note(&mut self, now: Instant, counts: Vec<(Reason, u64)>) {
        // The oldest sample that stays is the youngest one from before the period.
        while self.0.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= LATELY) {
            self.0.pop_front();
        }
        self.0.push_back((now, counts));
    }

    /// The counters that have risen, the most first, with what to do.
    pub fn drops(&self, now: Instant, counts: &[(Reason, u64)]) -> Vec<types::RecentDrops> {
        let (risen, time) = self.risen(now, counts);
        let drops = |(reason, packets): (Reason, u64)| types::RecentDrops {
            reason: reason.name().to_owned(),
            packets,
            seconds: time.as_secs(),
            meaning: reason.meaning().trim().to_owned(),
            advice: reason.advice().to_owned(),
        };
        risen.into_iter().map(drops).collect()
    }

    /// By how much each counter has risen, the most first, and in which time.
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
