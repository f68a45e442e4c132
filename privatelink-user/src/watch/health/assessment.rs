//! When outcomes of checks make a target healthy or unhealthy: counting, and nothing else.

use crate::{model::HealthCheck, state::targets::Health};

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target answered as it should.
    Passed(String),
    /// It did not.
    Failed(String),
    /// It did not, and real clients have the same trouble: no second opinion is needed.
    Confirmed(String),
}

/// Outcomes in a row that change a target's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Passing checks that make it healthy.
    pub healthy: u32,
    /// Failing checks that make it unhealthy.
    pub unhealthy: u32,
}

impl From<&HealthCheck> for Thresholds {
    fn from(check: &HealthCheck) -> Self {
        Self { healthy: check.healthy_threshold.get(), unhealthy: check.unhealthy_threshold.get() }
    }
}

/// What the outcomes so far make of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Its health.
    pub health: Health,
    /// Why it has that health, or what speaks against it.
    pub reason: String,
    /// How many outcomes in a row speak against it.
    against: u32,
}

impl Default for Assessment {
    fn default() -> Self {
        Self::of(Health::Initial, "no health check has ended yet")
    }
}

impl Assessment {
    /// A target of which this was known before.
    pub fn of(health: Health, reason: impl Into<String>) -> Self {
        Self { health, reason: reason.into(), against: 0 }
    }

    /// Whether the last outcome speaks against the health, without having changed it yet.
    pub fn is_contested(&self) -> bool {
        self.against > 0
    }

    /// Takes in how one more check ended.
    pub fn take_in(&mut self, outcome: Outcome, thresholds: Thresholds) {
        let (finding, threshold, what) = match outcome {
            // A new target serves from its first answer on.
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
        outcomes.iter().for_each(|outcome| assessment.take_in(outcome.clone(), TWO));
        assessment
    }

    #[test]
    fn the_first_answer_counts_at_once() {
        assert_eq!(after(&[passed()]), Assessment::of(Health::Healthy, "HTTP 200"));
        assert_eq!(after(&[failed(), passed()]), Assessment::of(Health::Healthy, "HTTP 200"));
    }

    #[test]
    fn later_ones_have_to_come_in_a_row() {
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
    fn what_clients_feel_too_counts_at_once() {
        let refused = Outcome::Confirmed("connection refused".into());
        assert_eq!(after(&[passed(), refused]).health, Health::Unhealthy);
    }

    proptest! {
        /// The health is what the last run of equal outcomes says that was long enough.
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
                assessment.take_in(if pass { passed() } else { failed() }, thresholds);
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
