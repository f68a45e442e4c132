//! Suspects targets from counters of clients' flows, before the next check is due.
//!
//! The datapath counts how flows to each target begin. A target that refuses them or does not
//! answer is not unhealthy for that alone: it is checked at once.

use privatelink_common::TargetCounters;

/// Number of unanswered flows that makes a target suspect.
const SEVERAL: u64 = 3;

/// The counters of one target at the last look.
#[derive(Clone, Debug, Default)]
pub struct Symptoms {
    counted: Option<TargetCounters>,
    /// Flows opened since the last answered one, up to the last look.
    unanswered: u64,
}

impl Symptoms {
    /// Compares the counters with the last look; true if the target is suspect.
    ///
    /// Answers are counted for TCP flows only. With `has_datagrams`, some flows are UDP, so that
    /// missing answers mean nothing.
    pub fn look(&mut self, now: TargetCounters, has_datagrams: bool) -> bool {
        let before = self.counted.replace(now);
        let Some(new) = before.and_then(|before| difference(&before, &now)) else {
            self.unanswered = 0;
            return false;
        };
        // Flows opened since the last look have had no time to be answered.
        let overdue = self.unanswered;
        self.unanswered = if new.answered > 0 { 0 } else { overdue.saturating_add(new.opened) };
        let is_silent = !has_datagrams && new.answered == 0 && overdue >= SEVERAL;
        is_silent || new.refused.max(new.unreachable) > new.answered
    }
}

/// The difference of two readings; `None` if the counters were reset in between.
fn difference(before: &TargetCounters, now: &TargetCounters) -> Option<TargetCounters> {
    Some(TargetCounters {
        opened: now.opened.checked_sub(before.opened)?,
        answered: now.answered.checked_sub(before.answered)?,
        refused: now.refused.checked_sub(before.refused)?,
        unreachable: now.unreachable.checked_sub(before.unreachable)?,
        ..TargetCounters::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts on from look to look: opened, answered, refused, unreachable.
    fn looks(steps: &[[u64; 4]]) -> Vec<bool> {
        let mut symptoms = Symptoms::default();
        let mut sum = TargetCounters { opened: 70, answered: 60, ..TargetCounters::default() };
        assert!(!symptoms.look(sum, false), "what was before the first look means nothing");
        let mut look = |[opened, answered, refused, unreachable]: &[u64; 4]| {
            sum.opened += opened;
            sum.answered += answered;
            sum.refused += refused;
            sum.unreachable += unreachable;
            symptoms.look(sum, false)
        };
        steps.iter().map(&mut look).collect()
    }

    #[test]
    fn a_refusal_counts_at_once_unless_others_are_answered() {
        assert_eq!(looks(&[[1, 0, 1, 0]]), [true]);
        assert_eq!(looks(&[[1, 0, 0, 1]]), [true]);
        assert_eq!(looks(&[[9, 8, 1, 0], [0, 0, 0, 0]]), [false, false]);
    }

    #[test]
    fn silence_counts_when_several_flows_had_time() {
        assert_eq!(looks(&[[3, 0, 0, 0], [0, 0, 0, 0]]), [false, true]);
        assert_eq!(
            looks(&[[2, 0, 0, 0], [0; 4], [1, 0, 0, 0], [0; 4]]),
            [false, false, false, true]
        );
        assert_eq!(looks(&[[9, 0, 0, 0], [9, 9, 0, 0], [0; 4], [0; 4]]), [false; 4]);
    }

    #[test]
    fn silence_means_nothing_where_datagrams_are() {
        let mut symptoms = Symptoms::default();
        for opened in [0, 5, 9, 20] {
            let counted = TargetCounters { opened, ..TargetCounters::default() };
            assert!(!symptoms.look(counted, true));
        }
        let counted = TargetCounters { opened: 20, unreachable: 1, ..TargetCounters::default() };
        assert!(symptoms.look(counted, true));
    }

    #[test]
    fn counters_may_begin_anew() {
        let mut symptoms = Symptoms::default();
        for opened in [10, 20, 2, 2] {
            let counted = TargetCounters { opened, ..TargetCounters::default() };
            assert!(!symptoms.look(counted, false));
        }
    }
}
