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
    written: Option<BTreeMap<u32, Option<Ends>>>,
    /// One more than the highest index of an endpoint.
    endpoints: u32,
}

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
        let wanted = wanted(model, state, now);
        let highest = model.endpoints().values().filter_map(|one| state.ids.endpoint(one)).max();
        self.endpoints = highest.map_or(0, |index| index + 1);
        let mut written = match self.written.take() {
            Some(written) => written,
            None => datapath.deadlines()?.into_keys().map(|index| (index, None)).collect(),
        };
        let ticks = datapath.now_ticks()?;
        let at = |end: Option<Timestamp>| {
            end.map_or(Deadline::NEVER, |end| tick_after(ticks, end.since(now)))
        };
        for (index, ends) in &wanted {
            if written.get(index) != Some(&Some(*ends)) {
                let after = match ends.after {
                    Acceptance::Rejected => Admission::Rejected,
                    _ => Admission::Expired,
                };
                let (grant, drain, after) = (at(ends.grant), at(ends.drain), after as u32);
                datapath.set_deadline(*index, Deadline { grant, drain, after, reserved: 0 })?;
                written.insert(*index, Some(*ends));
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

    /// How many indices of endpoints the kernel has to look at.
    pub fn endpoints(&self) -> u32 {
        self.endpoints
    }
}

/// When time alone ends what, by index of the endpoint.
fn wanted(model: &Model, state: &State, now: Timestamp) -> BTreeMap<u32, Ends> {
    let ends = state.connections.iter().filter_map(|(name, connection)| {
        let endpoint = model.endpoints().get(name)?;
        let (_, rules) = rules_of(model, endpoint)?;
        Some((state.ids.endpoint(endpoint)?, connection.ends(&rules, now)?))
    });
    ends.collect()
}
