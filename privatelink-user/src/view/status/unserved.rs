//! Endpoints whose clients all fail: the gateway works, and for them it does not.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use privatelink_common::Reason;

use crate::{model::Model, state::ids::Ids};

/// The period that is looked at.
const LATELY: Duration = Duration::from_secs(300);
/// The time between two samples.
const STEP: Duration = Duration::from_secs(10);
/// So many packets, in as many samples, must have been refused of what the configuration refuses: a
/// client that knocks once, or scans ports for a moment, is no problem of the gateway's.
const KNOCKS: usize = 3;
/// Endpoints that are listed.
const SHOWN: usize = 20;

/// What is counted of endpoints, by index: packets not forwarded, by reason.
pub type Refusals = BTreeMap<u32, BTreeMap<Reason, u64>>;

/// What endpoints have refused in the last minutes, and when each last opened a flow.
#[derive(Clone, Debug, Default)]
pub struct Unserved {
    refused: VecDeque<(Instant, Refusals)>,
    opened: BTreeMap<u32, Opened>,
}

/// The flows that an endpoint has opened.
#[derive(Clone, Copy, Debug)]
struct Opened {
    count: u64,
    /// When the count last rose.
    at: Option<Instant>,
}

impl Unserved {
    /// Whether the next sample is due.
    pub fn is_due(&self, now: Instant) -> bool {
        self.refused.back().is_none_or(|(last, _)| now.duration_since(*last) >= STEP)
    }

    /// Adds a sample: what endpoints have refused, and how many flows each has opened.
    pub fn note(
        &mut self,
        now: Instant,
        refused: Refusals,
        opened: impl Iterator<Item = (u32, u64)>,
    ) {
        while self.refused.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= LATELY) {
            self.refused.pop_front();
        }
        self.refused.push_back((now, refused));
        let before = std::mem::take(&mut self.opened);
        self.opened = opened
            .map(|(index, count)| {
                let known = before.get(&index);
                let at = match known {
                    Some(known) if known.count == count => known.at,
                    Some(_) => Some(now),
                    None => None,
                };
                (index, Opened { count, at })
            })
            .collect();
    }

    /// A problem for each endpoint none of whose clients has got through.
    pub fn problems(&self, now: Instant, model: &Model, ids: &Ids) -> Vec<String> {
        let Some((begin, _)) = self.refused.front() else { return Vec::new() };
        let period = now.duration_since(*begin).as_secs().max(1);
        let endpoints = model.endpoints().values();
        let found = endpoints.filter_map(|endpoint| {
            let (packets, reason) = self.failing(ids.endpoint(endpoint)?, now)?;
            let time = humantime::format_duration(Duration::from_secs(period));
            Some(format!(
                "endpoint {}: no client has got through in the last {time}: {packets} packets were \
                 refused, most of them as {}; {}",
                endpoint.name,
                reason.name(),
                reason.advice()
            ))
        });
        found.take(SHOWN).collect()
    }

    /// How many packets of an endpoint were refused, and the reason of most, if none opened a flow.
    fn failing(&self, index: u32, now: Instant) -> Option<(u64, Reason)> {
        let opened = self.opened.get(&index).and_then(|opened| opened.at);
        if opened.is_some_and(|at| now.duration_since(at) < LATELY) {
            return None;
        }
        let count = |sample: &Refusals, reason| {
            sample.get(&index).and_then(|refused| refused.get(&reason)).copied().unwrap_or(0)
        };
        let samples = || self.refused.iter().map(|(_, sample)| sample);
        let (first, last) = (samples().next()?, samples().next_back()?);
        let rise = |reason| count(last, reason).saturating_sub(count(first, reason));
        let reasons = last.get(&index)?.keys().copied().filter(|reason| opens(*reason));
        let (packets, reason) = reasons.map(|reason| (rise(reason), reason)).max()?;
        if packets == 0 {
            return None;
        }
        let pairs = samples().zip(samples().skip(1));
        let knocks = pairs.filter(|(before, after)| count(after, reason) > count(before, reason));
        (!is_configured(reason) || knocks.count() >= KNOCKS).then_some((packets, reason))
    }
}

/// Whether a packet that was refused for this reason would have opened a flow.
fn opens(reason: Reason) -> bool {
    use Reason::{
        BadChecksum, FlowLimit, FlowRateLimit, FlowTableFull, Internal, NoDevice, NoListener,
        NoNeighbour, NoTarget, NotAllowed, PortsExhausted,
    };
    // Whether the provider admits it is the state of its connection, which is shown.
    [
        BadChecksum,
        FlowLimit,
        FlowRateLimit,
        FlowTableFull,
        Internal,
        NoDevice,
        NoListener,
        NoNeighbour,
        NoTarget,
        NotAllowed,
        PortsExhausted,
    ]
    .contains(&reason)
}

/// Whether the gateway refuses it because it was told to.
fn is_configured(reason: Reason) -> bool {
    use Reason::{FlowLimit, FlowRateLimit, NoListener, NotAllowed};
    [FlowLimit, FlowRateLimit, NoListener, NotAllowed].contains(&reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        host::HostFacts,
        state::{State, targets::Inputs},
        timestamp::Timestamp,
    };

    /// A sample: flows opened so far, and packets refused so far.
    type Sample = (u64, Option<(Reason, u64)>);

    /// The problems of an endpoint with these samples, ten seconds apart.
    fn problems(samples: &[Sample]) -> Vec<String> {
        let text = include_str!("../../../../examples/quickstart.toml");
        let model = config::from_text("test.toml", text).unwrap().model;
        let mut state = State::default();
        let (facts, inputs) = (HostFacts::default(), Inputs::default());
        state.follow(&model, &facts, &inputs, Timestamp::now()).unwrap();
        let index = state.ids.endpoint(&model.endpoints()["acme-web"]).unwrap();
        let (mut now, mut unserved) = (Instant::now(), Unserved::default());
        for (opened, refused) in samples {
            assert!(unserved.is_due(now));
            let refused = refused.iter().map(|one| (index, BTreeMap::from([*one]))).collect();
            unserved.note(now, refused, [(index, *opened)].into_iter());
            now += STEP;
        }
        unserved.problems(now, &model, &state.ids)
    }

    #[test]
    fn an_endpoint_none_of_whose_clients_gets_through_is_named() {
        let bad = |count| Some((Reason::BadChecksum, count));
        assert_eq!(problems(&[(0, None)]), [""; 0]);
        assert_eq!(problems(&[(0, None), (0, None), (0, bad(3))]).len(), 1, "at once");
        let found = problems(&[(7, bad(1)), (7, bad(1)), (7, bad(5))]);
        let start = "endpoint acme-web: no client has got through in the last 30s: 4 packets were \
                     refused, most of them as bad_checksum; Look for a faulty device";
        assert!(found[0].starts_with(start), "{found:?}");
        // No one tries any more, or someone has got through.
        assert_eq!(problems(&[(7, bad(5)), (7, bad(5))]), [""; 0]);
        assert_eq!(problems(&[(7, bad(1)), (7, bad(5)), (8, bad(6))]), [""; 0]);
        assert_eq!(problems(&[(7, None), (8, None), (8, bad(1))]), [""; 0], "a stray packet");
    }

    #[test]
    fn a_port_scan_is_no_problem_and_a_client_that_goes_on_is() {
        let closed = |count| (0, Some((Reason::NoListener, count)));
        assert_eq!(problems(&[(0, None), closed(900), closed(900)]), [""; 0]);
        assert_eq!(problems(&[(0, None), closed(1), closed(2), closed(3)]).len(), 1);
        let rejected = |count| (0, Some((Reason::Rejected, count)));
        assert_eq!(problems(&[(0, None), rejected(1), rejected(2), rejected(3)]), [""; 0]);
    }

    #[test]
    fn samples_are_kept_for_some_minutes() {
        let (begin, mut unserved) = (Instant::now(), Unserved::default());
        for step in 0..100 {
            unserved.note(begin + STEP * step, BTreeMap::new(), std::iter::empty());
        }
        assert_eq!(unserved.refused.len(), 31);
    }
}
