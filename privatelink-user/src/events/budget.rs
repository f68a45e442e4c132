//! How many events a principal may cause: what one host or one service does again and again costs
//! its principal's budget, not the others' events.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    model::Name,
    token_bucket::{Rate, TokenBucket},
};

/// How many events of one kind a principal may cause.
pub(super) const EVENTS: Rate = Rate { burst: 256, refill: Duration::from_secs(1) };
/// How many lines of the log the events of one principal may take, those of connections and all
/// others: at most 60 in any minute.
pub(super) const LINES: Rate = Rate { burst: 30, refill: Duration::from_secs(2) };
/// The time between two reports of what was left out.
const REPORT: Duration = Duration::from_secs(60);

/// The budgets of all principals for one thing.
#[derive(Debug)]
pub(super) struct Budgets {
    rate: Rate,
    buckets: BTreeMap<(Name, &'static str), TokenBucket>,
    /// What was left out since the last report.
    left_out: BTreeMap<Name, u64>,
    /// What was left out since the daemon was started.
    totals: BTreeMap<Name, u64>,
    reported: Option<Instant>,
}

impl Budgets {
    /// Of which each principal has nothing used of this rate.
    pub fn new(rate: Rate) -> Self {
        let (buckets, left_out, totals) = Default::default();
        Self { rate, buckets, left_out, totals, reported: None }
    }

    /// Whether a principal may cause one more of a class; counts it either way.
    pub fn admits(&mut self, principal: &Name, class: &'static str, now: Instant) -> bool {
        let key = (principal.clone(), class);
        let bucket = self.buckets.entry(key).or_insert_with(|| TokenBucket::full(now));
        let takes = bucket.take(self.rate, now);
        if !takes {
            *self.left_out.entry(principal.clone()).or_default() += 1;
            *self.totals.entry(principal.clone()).or_default() += 1;
        }
        takes
    }

    /// How many of each principal were left out since the last report; nothing if that was
    /// less than a minute ago.
    pub fn report(&mut self, now: Instant) -> BTreeMap<Name, u64> {
        if self.left_out.is_empty() || self.reported.is_some_and(|last| now < last + REPORT) {
            return BTreeMap::new();
        }
        self.reported = Some(now);
        // Principals that are gone leave nothing behind.
        let rate = self.rate;
        self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
        std::mem::take(&mut self.left_out)
    }

    /// How many of each principal were left out since the daemon was started.
    pub fn totals(&self) -> &BTreeMap<Name, u64> {
        &self.totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Kind;

    const BURST: u32 = EVENTS.burst;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn each_principal_and_kind_has_its_own_budget() {
        let (mut budgets, now) = (Budgets::new(EVENTS), Instant::now());
        let mut takes = |who: &str, kind, count: u32, after: u64| {
            let now = now + Duration::from_secs(after);
            (0..count).filter(|_| budgets.admits(&name(who), Kind::word(kind), now)).count()
        };
        assert_eq!(takes("acme", Kind::NextHopLost, 1_000, 0), BURST as usize);
        assert_eq!(takes("acme", Kind::NextHopFound, 10, 0), 10);
        assert_eq!(takes("globex", Kind::NextHopLost, 10, 0), 10);
        assert_eq!(takes("acme", Kind::NextHopLost, 1_000, 7), 7);
        assert_eq!(takes("acme", Kind::NextHopLost, 1_000, 10_000), BURST as usize);
    }

    #[test]
    fn what_is_left_out_is_reported_once_a_minute() {
        let (mut budgets, now) = (Budgets::new(EVENTS), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let flood = |budgets: &mut Budgets, seconds| {
            for _ in 0..BURST + 5 {
                budgets.admits(&name("acme"), Kind::NextHopLost.word(), at(seconds));
            }
        };
        assert_eq!(budgets.report(now), BTreeMap::new());
        flood(&mut budgets, 0);
        assert_eq!(budgets.report(at(1)), BTreeMap::from([(name("acme"), 5)]));
        flood(&mut budgets, 1);
        assert_eq!(budgets.report(at(60)), BTreeMap::new(), "so soon after");
        assert_eq!(budgets.report(at(61)), BTreeMap::from([(name("acme"), u64::from(BURST) + 4)]));
        assert_eq!(budgets.report(at(200)), BTreeMap::new());
        budgets.admits(&name("globex"), Kind::NextHopLost.word(), at(200));
        let totals = BTreeMap::from([(name("acme"), u64::from(BURST) + 9)]);
        assert_eq!(*budgets.totals(), totals);
    }

    #[test]
    fn a_principal_has_at_most_sixty_lines_in_any_minute() {
        let (mut budgets, begin) = (Budgets::new(LINES), Instant::now());
        let mut lines = Vec::new();
        for tenth in 0..6_000 {
            let now = begin + Duration::from_millis(100 * tenth);
            if budgets.admits(&name("acme"), "other", now) {
                lines.push(now);
            }
        }
        for first in &lines {
            let end = *first + Duration::from_secs(60);
            let within = lines.iter().filter(|one| (*first..end).contains(one)).count();
            assert!(within <= 60, "{within}");
        }
        assert!(lines.len() >= 300, "{}", lines.len());
    }
}
