//! Counts outcomes of checks to decide when a target becomes healthy or unhealthy.

use crate::{model::HealthCheck, state::targets::Health};

/// The outcome of a check, with a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target passed.
    Passed(String),
    /// The target failed.
    Failed(String),
    /// The target failed, and clients' flows fail too: one failure is enough.
    Confirmed(String),
}

/// Numbers of consecutive outcomes that change a target's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Passed checks that make it healthy.
    pub healthy: u32,
    /// Failed checks that make it unhealthy.
    pub unhealthy: u32,
}

impl From<&HealthCheck> for Thresholds {
    fn from(check: &HealthCheck) -> Self {
        Self { healthy: check.healthy_threshold.get(), unhealthy: check.unhealthy_threshold.get() }
    }
}

/// A target's health according to the outcomes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The current health.
    pub health: Health,
    /// The outcome behind the health, or the outcomes that contradict it.
    pub reason: String,
    /// Number of consecutive outcomes that contradict the health.
    against: u32,
}

impl Default for Assessment {
    fn default() -> Self {
        Self::of(Health::Initial, "no health check has ended yet")
    }
}

impl Assessment {
    /// A target with this known health.
    pub fn of(health: Health, reason: impl Into<String>) -> Self {
        Self { health, reason: reason.into(), against: 0 }
    }

    /// Whether the last outcome contradicts the health without having changed it yet.
    pub fn is_contested(&self) -> bool {
        self.against > 0
    }

    /// Counts one more outcome.
    pub fn count(&mut self, outcome: Outcome, thresholds: Thresholds) {
        let (finding, threshold, what) = match outcome {
            // A new target is healthy from its first passed check on.
            Outcome::Passed(what) if self.health == Health::Initial => (Health::Healthy, 1, what),
            Outcome::Passed(what) => (Health::Healthy, thresholds.healthy, what),
            Outcome::Failed(what) => (Health::Unhealthy, thresholds.unhealthy, what),
            Outcome::Confirmed(what) => (Health::Unhealthy, 0, what),
        };
        if finding == self.health {
            *self = Self::of(finding, what);
            return;
        }
        self.against += 1;
        if self.against >= threshold {
            *self = Self::of(finding, what);
            return;
        }
        let against = self.against;
        self.reason = if finding == Health::Healthy {
            format!("passes again, {against} of {threshold} checks: {what}")
        } else {
            format!("{against} of {threshold} checks failed: {what}")
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passed() -> Outcome {
        Outcome::Passed("HTTP 200".into())
    }

    fn failed() -> Outcome {
        Outcome::Failed("connection refused".into())
    }

    const TWO: Thresholds = Thresholds { healthy: 2, unhealthy: 2 };

    fn after(outcomes: &[Outcome]) -> Assessment {
        let mut assessment = Assessment::default();
        outcomes.iter().for_each(|outcome| assessment.count(outcome.clone(), TWO));
        assessment
    }

    #[test]
    fn the_first_answer_counts_at_once() {
        assert_eq!(after(&[passed()]), Assessment::of(Health::Healthy, "HTTP 200"));
        assert_eq!(after(&[failed(), passed()]), Assessment::of(Health::Healthy, "HTTP 200"));
    }

    #[test]
    fn later_outcomes_must_be_consecutive() {
        let down = after(&[passed(), failed(), failed()]);
        assert_eq!(down, Assessment::of(Health::Unhealthy, "connection refused"));
        let contested = after(&[passed(), failed()]);
        assert_eq!((contested.health, contested.is_contested()), (Health::Healthy, true));
        assert_eq!(contested.reason, "1 of 2 checks failed: connection refused");
        let back = after(&[failed(), failed(), passed()]);
        assert_eq!(back.reason, "passes again, 1 of 2 checks: HTTP 200");
        assert_eq!(after(&[passed(), failed(), passed(), failed()]).health, Health::Healthy);
    }

    #[test]
    fn a_failure_that_clients_share_counts_at_once() {
        let refused = Outcome::Confirmed("connection refused".into());
        assert_eq!(after(&[passed(), refused]).health, Health::Unhealthy);
    }

    proptest! {
        /// The health follows the last run of equal outcomes that reached its threshold.
        #[test]
        fn health_follows_long_enough_runs(
            outcomes in proptest::collection::vec(any::<bool>(), 1..200),
            healthy in 1u32..5, unhealthy in 1u32..5,
        ) {
            let thresholds = Thresholds { healthy, unhealthy };
            let mut assessment = Assessment::default();
            let (mut run, mut last) = (0, None);
            let mut expected = Health::Initial;
            for pass in outcomes {
                assessment.count(if pass { passed() } else { failed() }, thresholds);
                run = if last == Some(pass) { run + 1 } else { 1 };
                last = Some(pass);
                if pass && (expected == Health::Initial || run >= healthy) {
                    expected = Health::Healthy;
                } else if !pass && run >= unhealthy {
                    expected = Health::Unhealthy;
                }
                prop_assert_eq!(assessment.health, expected);
                let agrees = (assessment.health == Health::Healthy) == pass
                    && assessment.health != Health::Initial;
                prop_assert_eq!(assessment.is_contested(), !agrees);
            }
        }
    }
}
