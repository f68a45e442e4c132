//! The suspicion against a target: two probes confirm it, and false alarms make it rarer.

use std::time::Duration;

use tokio::time::Instant;

/// The time between the beginnings of the two probes: longer than TCP waits before it repeats a SYN
/// (RFC 6298, section 2.1), so that one burst of loss does not meet both.
pub(super) const APART: Duration = Duration::from_millis(1_200);
/// Minimum time between two suspicions of a target.
const BENEFIT_OF_DOUBT: Duration = Duration::from_secs(1);
/// The maximum of that time, after several false alarms.
const LONGEST: Duration = Duration::from_secs(64);
/// After so long without a suspicion, false alarms are forgotten.
const CALM: Duration = Duration::from_secs(300);

/// The suspicion against one target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Suspicion {
    /// When the last one was raised.
    raised: Option<Instant>,
    /// How many false alarms there were, one after the other.
    false_alarms: u32,
    failed: Failed,
}

/// How many of the two probes have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Failed {
    /// There is no suspicion.
    #[default]
    Settled,
    None,
    One,
}

/// What follows from a probe's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The target passed.
    Innocent,
    /// It failed once: probe it again.
    Unconfirmed,
    /// It fails.
    Guilty,
}

impl Suspicion {
    /// Raises a suspicion; `false` if one is being probed, or if the last one was too recent.
    pub fn raise(&mut self, now: Instant) -> bool {
        if self.is_open() || self.raised.is_some_and(|raised| now < raised + self.pause()) {
            return false;
        }
        if self.raised.is_some_and(|raised| now >= raised + CALM) {
            self.false_alarms = 0;
        }
        (self.raised, self.failed) = (Some(now), Failed::None);
        true
    }

    /// Whether the next probe is one of the two.
    pub fn is_open(&self) -> bool {
        self.failed != Failed::Settled
    }

    /// Accepts the outcome of a probe. `certain` is a failure that loss of packets cannot cause: the
    /// target itself, or the kernel's neighbour table, says that it does not serve.
    pub fn judge(&mut self, passed: bool, certain: bool) -> Verdict {
        if passed {
            self.failed = Failed::Settled;
            self.false_alarms = self.false_alarms.saturating_add(1);
            return Verdict::Innocent;
        }
        if self.failed == Failed::None && !certain {
            self.failed = Failed::One;
            return Verdict::Unconfirmed;
        }
        *self = Self { raised: self.raised, ..Self::default() };
        Verdict::Guilty
    }

    /// The time between two suspicions: twice as long after each false alarm.
    fn pause(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.false_alarms).unwrap_or(u32::MAX);
        BENEFIT_OF_DOUBT.saturating_mul(factor).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_packets_confirm_nothing_at_once() {
        let mut one = Suspicion::default();
        let now = Instant::now();
        assert!(one.raise(now) && !one.raise(now), "it is being probed");
        assert_eq!(one.judge(false, false), Verdict::Unconfirmed);
        assert!(one.is_open());
        assert_eq!(one.judge(true, false), Verdict::Innocent);
        assert!(!one.is_open());
    }

    #[test]
    fn two_failures_or_a_certain_one_confirm() {
        for (certain, expected) in
            [(false, vec![Verdict::Unconfirmed, Verdict::Guilty]), (true, vec![Verdict::Guilty])]
        {
            let mut one = Suspicion::default();
            assert!(one.raise(Instant::now()));
            let verdicts: Vec<_> = expected.iter().map(|_| one.judge(false, certain)).collect();
            assert_eq!(verdicts, expected);
            assert!(!one.is_open());
        }
    }

    #[test]
    fn false_alarms_make_suspicions_rarer() {
        let mut one = Suspicion::default();
        let begin = Instant::now();
        let mut raised = Vec::new();
        for second in 0..600 {
            if one.raise(begin + Duration::from_secs(second)) {
                raised.push(second);
                one.judge(true, false);
            }
        }
        assert_eq!(raised[..8], [0, 2, 6, 14, 30, 62, 126, 190]);
        assert_eq!(raised.len(), 14, "every 64 seconds from then on");
        // What it was accused of in vain is forgotten after a while, and when it really failed.
        assert!(one.raise(begin + Duration::from_secs(1_000)));
        assert_eq!(one.false_alarms, 0);
        assert_eq!(one.judge(false, true), Verdict::Guilty);
        assert!(one.raise(begin + Duration::from_secs(1_001)));
    }
}
