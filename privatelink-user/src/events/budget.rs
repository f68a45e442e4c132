//! How many events a principal may cause: what one host or one service does again and again costs
//! its principal's budget, not the others' events.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::kind::Kind;
use crate::model::Name;

/// Events of one kind that a principal may cause at once.
const BURST: u32 = 256;
/// The time after which it may cause one more.
const REFILL: Duration = Duration::from_secs(1);
/// The time between two reports of what was left out.
const REPORT: Duration = Duration::from_secs(60);

/// The budgets of all principals.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    buckets: BTreeMap<(Name, &'static str), Bucket>,
    /// What was left out since the last report.
    left_out: BTreeMap<Name, u64>,
    /// What was left out since the daemon was started.
    total: u64,
    reported: Option<Instant>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    spent: u32,
    /// Since when tokens have been added.
    since: Instant,
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        let periods = u32::try_from(elapsed.as_nanos() / REFILL.as_nanos()).unwrap_or(u32::MAX);
        self.spent = self.spent.saturating_sub(periods);
        self.since = if self.spent == 0 { now } else { self.since + REFILL * periods };
    }

    fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let takes = self.spent < BURST;
        self.spent += u32::from(takes);
        takes
    }
}

impl Budgets {
    /// Whether a principal may cause one more event of a kind; counts it either way.
    pub fn admits(&mut self, principal: &Name, kind: Kind, now: Instant) -> bool {
        let key = (principal.clone(), kind.word());
        let bucket = self.buckets.entry(key).or_insert(Bucket { spent: 0, since: now });
        let takes = bucket.take(now);
        if !takes {
            *self.left_out.entry(principal.clone()).or_default() += 1;
            self.total += 1;
        }
        takes
    }

    /// How many events of each principal were left out since the last report; nothing if that was
    /// less than a minute ago.
    pub fn report(&mut self, now: Instant) -> BTreeMap<Name, u64> {
        if self.left_out.is_empty() || self.reported.is_some_and(|last| now < last + REPORT) {
            return BTreeMap::new();
        }
        self.reported = Some(now);
        // Principals that are gone leave nothing behind.
        self.buckets.retain(|_, bucket| {
            bucket.refill(now);
            bucket.spent > 0
        });
        std::mem::take(&mut self.left_out)
    }

    /// How many events were left out since the daemon was started.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn each_principal_and_kind_has_its_own_budget() {
        let (mut budgets, now) = (Budgets::default(), Instant::now());
        let mut takes = |who: &str, kind, count: u32, after: u64| {
            let now = now + Duration::from_secs(after);
            (0..count).filter(|_| budgets.admits(&name(who), kind, now)).count()
        };
        assert_eq!(takes("acme", Kind::NextHopLost, 1_000, 0), BURST as usize);
        assert_eq!(takes("acme", Kind::NextHopFound, 10, 0), 10);
        assert_eq!(takes("globex", Kind::NextHopLost, 10, 0), 10);
        assert_eq!(takes("acme", Kind::NextHopLost, 1_000, 7), 7);
        assert_eq!(takes("acme", Kind::NextHopLost, 1_000, 10_000), BURST as usize);
    }

    #[test]
    fn what_is_left_out_is_reported_once_a_minute() {
        let (mut budgets, now) = (Budgets::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let flood = |budgets: &mut Budgets, seconds| {
            for _ in 0..BURST + 5 {
                budgets.admits(&name("acme"), Kind::NextHopLost, at(seconds));
            }
        };
        assert_eq!(budgets.report(now), BTreeMap::new());
        flood(&mut budgets, 0);
        assert_eq!(budgets.report(at(1)), BTreeMap::from([(name("acme"), 5)]));
        flood(&mut budgets, 1);
        assert_eq!(budgets.report(at(60)), BTreeMap::new(), "so soon after");
        assert_eq!(budgets.report(at(61)), BTreeMap::from([(name("acme"), u64::from(BURST) + 4)]));
        assert_eq!(budgets.report(at(200)), BTreeMap::new());
        assert_eq!(budgets.total(), u64::from(BURST) + 9);
    }
}
