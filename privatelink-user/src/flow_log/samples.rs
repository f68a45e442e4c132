//! How many refused flows of a principal are logged: what knocks again and again at one principal's
//! doors costs its own budget, and fills neither the queue nor the log of others.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use privatelink_common::RefusedFlow;

use super::index_names::IndexNames;
use crate::token_bucket::{Rate, TokenBucket};

/// How many refused flows of one principal are logged. The kernel reports at most 950 a second of
/// each network on each CPU, and a principal may have many networks.
const RATE: Rate = Rate { burst: 4_000, refill: Duration::from_millis(1) };
/// From this number of principals on, those with a full budget are forgotten.
const REMEMBERED: usize = 1_000;

/// The budgets of all principals.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<String, TokenBucket>);

impl Samples {
    /// Removes the flows that are beyond the budgets of the principals that opened them; returns
    /// how many of each principal.
    pub fn limit(
        &mut self,
        refused: &mut Vec<RefusedFlow>,
        names: &IndexNames,
        now: Instant,
    ) -> BTreeMap<String, u64> {
        let mut left_out = BTreeMap::new();
        if self.0.len() > REMEMBERED {
            self.0.retain(|_, bucket| !bucket.is_full(RATE, now));
        }
        refused.retain(|one| {
            let principal = names.endpoint(one.endpoint).map_or("", |known| &known.principal);
            if !self.0.contains_key(principal) {
                self.0.insert(principal.to_owned(), TokenBucket::full(now));
            }
            let admitted = self.0.get_mut(principal).is_none_or(|bucket| bucket.take(RATE, now));
            if !admitted {
                *left_out.entry(principal.to_owned()).or_default() += 1;
            }
            admitted
        });
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, host::HostFacts, state::State, timestamp::Timestamp};

    /// The names of an example, and the indices of an endpoint of two principals.
    fn names() -> (IndexNames, [u32; 2]) {
        let text = include_str!("../desired/tests.toml");
        let model = config::from_text("test.toml", text).unwrap().model;
        let mut state = State::default();
        let inputs = state.inputs.clone();
        let now = Timestamp::from_millis(0);
        state.follow(&model, &HostFacts::default(), &inputs, now).unwrap();
        let mut names = IndexNames::default();
        names.update(&model, &state.ids);
        let index = |principal: &str| {
            let all = model.endpoints().values();
            let of = |index: &u32| names.endpoint(*index).unwrap().principal == principal;
            all.filter_map(|one| state.ids.endpoint(one)).find(of).unwrap()
        };
        let indices = ["acme", "globex"].map(index);
        (names, indices)
    }

    #[test]
    fn a_flood_of_one_principal_leaves_the_samples_of_another() {
        let (names, [noisy, quiet]) = names();
        let (mut samples, begin) = (Samples::default(), Instant::now());
        let flow = |endpoint| RefusedFlow { endpoint, ..RefusedFlow::default() };
        let mut logged = |endpoint, count: usize, millis| {
            let mut refused = vec![flow(endpoint); count];
            let now = begin + Duration::from_millis(millis);
            let left_out = samples.limit(&mut refused, &names, now);
            assert_eq!(refused.len() as u64 + left_out.values().sum::<u64>(), count as u64);
            (refused.len(), left_out)
        };
        let (written, left_out) = logged(noisy, 100_000, 0);
        assert_eq!(written, RATE.burst as usize);
        assert_eq!(left_out, BTreeMap::from([("acme".to_owned(), 96_000)]));
        assert_eq!(logged(quiet, 3_000, 0), (3_000, BTreeMap::new()));
        assert_eq!(logged(noisy, 100_000, 250).0, 250);
        assert_eq!(logged(u32::MAX, 10, 250).0, 10, "an endpoint without a name");
    }
}
