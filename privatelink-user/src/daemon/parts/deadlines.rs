//! The deadlines of grants, written where the kernel obeys them while no daemon runs.

use std::collections::BTreeMap;

use privatelink_common::{Admission, Deadline};

use crate::{
    datapath::bpf::{self, Datapath, tick_after},
    model::Model,
    state::{
        State,
        connection::{Acceptance, Ends, rules_of},
    },
    timestamp::Timestamp,
};

/// What the kernel knows.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Deadlines {
    /// By index of the endpoint; `None` until the first reconciliation.
    written: Option<BTreeMap<u32, Deadline>>,
    /// One more than the highest index of an endpoint.
    endpoints: u32,
    /// How many admissions the kernel has changed by itself, as far as is known.
    changes: u32,
}

/// How far the end in the kernel may be from where the daemon's clock sees it now: a tick for each
/// rounding, and some for what passes between looking at two clocks.
const CLOSE: u32 = 8;

impl Deadlines {
    /// Writes the deadlines that have changed. It comes before the maps are written, so that no
    /// grant is without its end.
    pub fn reconcile(
        &mut self,
        model: &Model,
        state: &State,
        datapath: &Datapath,
        now: Timestamp,
    ) -> Result<(), bpf::Error> {
        let highest = model.endpoints().values().filter_map(|one| state.ids.endpoint(one)).max();
        self.endpoints = highest.map_or(0, |index| index + 1);
        let mut written = match self.written.take() {
            Some(written) => written,
            None => {
                self.changes = datapath.timer_counts()?.changes;
                datapath.deadlines()?
            }
        };
        let wanted = wanted(model, state, datapath.now_ticks()?, now);
        for (index, deadline) in &wanted {
            if written.get(index).is_none_or(|old| !is_close(*old, *deadline)) {
                datapath.set_deadline(*index, *deadline)?;
                written.insert(*index, *deadline);
            }
        }
        let gone: Vec<u32> =
            written.keys().filter(|index| !wanted.contains_key(index)).copied().collect();
        for index in gone {
            datapath.set_deadline(index, Deadline::default())?;
            written.remove(&index);
        }
        self.written = Some(written);
        Ok(())
    }

    /// Whether the kernel has changed admissions by itself since the last call: it does while the
    /// daemon hangs, and then the maps hold something else than the daemon believes.
    pub fn have_been_obeyed(&mut self, datapath: &Datapath) -> Result<bool, bpf::Error> {
        let changes = datapath.timer_counts()?.changes;
        Ok(std::mem::replace(&mut self.changes, changes) != changes)
    }

    /// How many indices of endpoints the kernel has to look at.
    pub fn endpoints(&self) -> u32 {
        self.endpoints
    }
}

/// When time alone ends what, by index of the endpoint.
fn wanted(model: &Model, state: &State, ticks: u32, now: Timestamp) -> BTreeMap<u32, Deadline> {
    let ends = state.connections.iter().filter_map(|(name, connection)| {
        let endpoint = model.endpoints().get(name)?;
        let (_, rules) = rules_of(model, endpoint)?;
        let ends = connection.ends(&rules, now)?;
        Some((state.ids.endpoint(endpoint)?, deadline(ends, ticks, now)))
    });
    ends.collect()
}

fn deadline(ends: Ends, ticks: u32, now: Timestamp) -> Deadline {
    let at = |end: Option<Timestamp>| {
        end.map_or(Deadline::NEVER, |end| tick_after(ticks, end.since(now)))
    };
    let after = match ends.after {
        Acceptance::Rejected => Admission::Rejected,
        Acceptance::Pending | Acceptance::Available | Acceptance::Expired => Admission::Expired,
    };
    Deadline { grant: at(ends.grant), drain: at(ends.drain), after: after as u32, reserved: 0 }
}

/// Whether two deadlines are the same but for rounding. They part when the clock is set.
fn is_close(a: Deadline, b: Deadline) -> bool {
    let close = |a: u32, b: u32| {
        (a == Deadline::NEVER) == (b == Deadline::NEVER)
            && a.wrapping_sub(b).cast_signed().unsigned_abs() <= CLOSE
    };
    close(a.grant, b.grant) && close(a.drain, b.drain) && a.after == b.after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_written_again_only_when_the_clock_was_set() {
        let one = Deadline { grant: 1_000, drain: 0, after: 4, reserved: 0 };
        assert!(is_close(one, Deadline { grant: 1_001, ..one }));
        assert!(!is_close(one, Deadline { grant: 1_100, ..one }));
        assert!(!is_close(one, Deadline { drain: 1_000, ..one }));
        assert!(!is_close(one, Deadline { after: 3, ..one }));
        let early = Deadline { grant: 2, ..one };
        assert!(!is_close(early, Deadline { grant: Deadline::NEVER, ..one }));
        assert!(is_close(early, Deadline { grant: u32::MAX, ..one }), "the clock may wrap");
    }
}
