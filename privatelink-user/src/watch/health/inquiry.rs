//! When the flow table is searched for witnesses of symptoms, which anybody can cause.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// How often witnesses of one symptom are searched: some flows have not had time to be answered.
const ROUNDS: u32 = 5;
/// The time between two searches, in multiples of what the last one took, so that causing symptoms
/// costs no more than a fiftieth of a processor.
const SHARE: u32 = 50;

/// The targets with symptoms for which no witnesses have been found yet.
#[derive(Debug, Default)]
pub struct Inquiry {
    /// By target index, how many more searches are worth it.
    open: BTreeMap<u32, u32>,
    /// No search before then.
    rest: Option<Instant>,
}

impl Inquiry {
    /// A target shows symptoms.
    pub fn raise(&mut self, target: u32) {
        self.open.insert(target, ROUNDS);
    }

    /// Searches with `search` if it is time, and returns those targets that it has found.
    ///
    /// # Errors
    /// Those of `search`.
    pub fn go_on<E>(
        &mut self,
        begin: Instant,
        search: impl FnOnce(&BTreeSet<u32>) -> Result<BTreeSet<u32>, E>,
    ) -> Result<BTreeSet<u32>, E> {
        if self.open.is_empty() || self.rest.is_some_and(|rest| begin < rest) {
            return Ok(BTreeSet::new());
        }
        let targets = self.open.keys().copied().collect();
        let found = search(&targets)?;
        self.rest = Some(begin + begin.elapsed() * (SHARE + 1));
        self.open.retain(|target, rounds| {
            *rounds -= 1;
            *rounds > 0 && !found.contains(target)
        });
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type Found = Result<BTreeSet<u32>, ()>;

    #[test]
    fn a_symptom_is_looked_into_several_times_and_no_more() {
        let mut inquiry = Inquiry::default();
        let (mut searches, mut now) = (0, Instant::now());
        inquiry.raise(7);
        for _ in 0..2 * ROUNDS {
            now += Duration::from_secs(3_600);
            let search = |targets: &BTreeSet<u32>| -> Found {
                assert_eq!(*targets, BTreeSet::from([7]));
                searches += 1;
                Ok(BTreeSet::new())
            };
            assert_eq!(inquiry.go_on(now, search), Ok(BTreeSet::new()));
        }
        assert_eq!(searches, ROUNDS);
    }

    #[test]
    fn whoever_is_found_is_not_searched_again_and_searches_have_pauses() {
        let mut inquiry = Inquiry::default();
        let (long, begin) = (Duration::from_secs(60), Instant::now());
        let Some(earlier) = begin.checked_sub(long) else { return };
        inquiry.raise(7);
        inquiry.raise(8);
        // It seems to have taken a minute, so that the next one is due in an hour.
        let all = |targets: &BTreeSet<u32>| -> Found { Ok(targets.clone()) };
        assert_eq!(inquiry.go_on(earlier, all), Ok(BTreeSet::from([7, 8])));
        inquiry.raise(9);
        assert_eq!(inquiry.go_on(begin + 40 * long, all), Ok(BTreeSet::new()));
        assert_eq!(inquiry.go_on(begin + 60 * long, all), Ok(BTreeSet::from([9])));
    }
}
