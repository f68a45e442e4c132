//! Flows of a flow table that is replaced, on their way into the new one.
//!
//! Packets go by the old table until interfaces have the new programs. So its flows are entered
//! before, and what has changed meanwhile after. Until then the old table stays pinned, beside the
//! new one: a daemon that dies in between begins again. A flow whose records are new, too, waits
//! until those are written.

use std::path::Path;

use log::{info, warn};
use privatelink_common::{
    Source,
    flow::Flow,
    maps::{ADOPT_BATCH, ADOPT_PROGRAM, SWEEP_RANGE},
};
use zerocopy::IntoBytes;

use super::{
    error::Error,
    former::Former,
    loaded::Datapath,
    pins::{self, Pins},
    predecessor::Predecessor,
};
use crate::datapath::{store::MapStore, tables::MapTables};

/// How many directions of flows were entered, and for how many there was no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Carried {
    entered: u64,
    without_room: u64,
}

impl Carried {
    fn log(self) {
        if self.entered != 0 {
            info!("{} flows of the flow table before were entered", self.entered.div_ceil(2));
        }
        if self.without_room != 0 {
            warn!("the flow table has no room for {} flows", self.without_room.div_ceil(2));
        }
    }
}

impl Datapath {
    /// Enters those flows of the table before of which all records are known.
    pub(super) fn begin_carrying(&mut self, former: Option<Former>) -> Result<(), Error> {
        let Some(mut before) = self.before.take() else { return Ok(()) };
        let records = self.store()?.load()?;
        let carried = self.carry(&mut before, |flow| are_known(&records, flow))?;
        carried.log();
        before.records = records;
        let sources = former.map(|former| former.sources).unwrap_or_default();
        let sources = sources.into_iter().map(|(index, address)| (index, Source::at(address, 0)));
        before.records.sources.extend(sources);
        self.before = Some(before);
        Ok(())
    }

    /// Enters the flows whose records have been written meanwhile. Does nothing unless there is a
    /// table before.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub fn go_on_carrying(&mut self) -> Result<(), Error> {
        let Some(mut before) = self.before.take() else { return Ok(()) };
        let carried = self.carry_same(&mut before);
        self.before = Some(before);
        carried?.log();
        Ok(())
    }

    /// Enters the flows of `before` that belong to what they did.
    fn carry_same(&self, before: &mut Predecessor) -> Result<Carried, Error> {
        let now = self.store()?.load()?;
        let then = std::mem::take(&mut before.records);
        let carried =
            self.carry(before, |flow| are_known(&now, flow) && means_the_same(&then, &now, flow));
        before.records = then;
        carried
    }

    /// Once all interfaces have the new programs, enters what has changed, and lets go of the table
    /// before. Does nothing otherwise. Returns how many flows were left behind: what they are of is
    /// gone, or another thing.
    ///
    /// # Errors
    /// When the kernel does not run the program, or the pins cannot be read.
    pub fn finish_carrying(&mut self) -> Result<usize, Error> {
        let Some(held) = self.pins.as_ref().filter(|_| self.before.is_some()) else {
            return Ok(0);
        };
        let old = |link: &pins::PinnedLink| {
            link.ifindex != 0 && !self.program_ids.contains(&link.program)
        };
        if held.pins.links()?.iter().any(old) {
            return Ok(0);
        }
        let Some(mut before) = self.before.take() else { return Ok(0) };
        self.carry_same(&mut before)?.log();
        let left_behind = before.left_behind();
        if let Some(held) = &self.pins {
            pins::remove_file(&held.pins.before_path(before.version()))?;
        }
        Ok(left_behind)
    }

    /// Enters the flows of `before` that were not, or have changed since.
    fn carry(
        &self,
        before: &mut Predecessor,
        is_wanted: impl Fn(&Flow) -> bool,
    ) -> Result<Carried, Error> {
        let mut carried = Carried::default();
        let mut batch = Vec::with_capacity(ADOPT_BATCH);
        for flow in before.next(is_wanted) {
            batch.push(flow);
            if batch.len() == ADOPT_BATCH {
                carried.without_room += self.enter(&batch)?;
                carried.entered += batch.len() as u64;
                batch.clear();
            }
        }
        carried.without_room += self.enter(&batch)?;
        carried.entered += batch.len() as u64;
        carried.entered -= carried.without_room;
        Ok(carried)
    }

    /// Enters flows; returns for how many there was no room.
    fn enter(&self, flows: &[Flow]) -> Result<u64, Error> {
        if flows.is_empty() {
            return Ok(0);
        }
        let mut packet = vec![0; SWEEP_RANGE];
        packet.extend(u32::try_from(flows.len()).unwrap_or(0).to_ne_bytes());
        packet.extend(flows.as_bytes());
        Ok(self.run_classifier(ADOPT_PROGRAM, &packet)?.into())
    }

    /// Leaves in `pin_dir` only what the release before understands: attachments and the flow
    /// table. Packets are forwarded as before; no daemon may run.
    ///
    /// # Errors
    /// When there is nothing to leave, or a change is under way.
    pub fn prepare_downgrade(pin_dir: &Path) -> Result<(), Error> {
        let pins = Pins::at(pin_dir);
        let _lock = pins.prepare()?;
        pins.prepare_downgrade()
    }
}

/// Whether there are the records that a flow names.
fn are_known(tables: &MapTables, flow: &Flow) -> bool {
    tables.endpoints.contains_key(&flow.endpoint())
        && tables.targets.contains_key(&flow.target())
        && tables.sources.contains_key(&u32::from(flow.source))
}

/// Whether the records that a flow names are still those of the things that they were.
fn means_the_same(then: &MapTables, now: &MapTables, flow: &Flow) -> bool {
    let endpoint = |tables: &MapTables| {
        let found = tables.endpoints.get(&flow.endpoint());
        found.map(|one| (one.v4, one.v6, one.network, one.service))
    };
    let target = |tables: &MapTables| {
        tables.targets.get(&flow.target()).map(|one| (one.address, one.network))
    };
    let source =
        |tables: &MapTables| tables.sources.get(&u32::from(flow.source)).map(|one| one.address);
    is_same(endpoint(then), endpoint(now))
        && is_same(target(then), target(now))
        && is_same(source(then), source(now))
}

/// Whether an index means what it did. Where it meant nothing, its flows are of what it means now.
fn is_same<T: PartialEq>(then: Option<T>, now: Option<T>) -> bool {
    now.is_some() && (then.is_none() || then == now)
}

#[cfg(test)]
mod tests {
    use privatelink_common::{Addr, Endpoint, Target};

    use super::*;

    fn tables() -> MapTables {
        MapTables {
            endpoints: [(3, Endpoint { v4: 7, service: 1, ..Endpoint::default() })].into(),
            targets: [(4, Target { network: 2, ..Target::default() })].into(),
            sources: [(5, Source { address: Addr::v4([10, 0, 0, 1]), ..Source::default() })].into(),
            ..MapTables::default()
        }
    }

    #[test]
    fn a_flow_waits_for_each_of_its_records() {
        let flow = Flow { endpoint: 3, target: 4, source: 5, ..Flow::default() };
        assert!(are_known(&tables(), &flow));
        let mut others = [tables(), tables(), tables()];
        let [endpoint, target, source] = &mut others;
        endpoint.endpoints.clear();
        target.targets.clear();
        source.sources.clear();
        others.iter().for_each(|others| assert!(!are_known(others, &flow), "{others:?}"));
    }

    #[test]
    fn a_flow_stays_only_with_what_it_was_of() {
        let flow = Flow { endpoint: 3, target: 4, source: 5, ..Flow::default() };
        assert!(means_the_same(&tables(), &tables(), &flow));
        assert!(means_the_same(&MapTables::default(), &tables(), &flow));
        let mut others = [tables(), tables(), tables(), tables(), MapTables::default()];
        let [address, service, target, source, _] = &mut others;
        address.endpoints.entry(3).or_default().v4 = 8;
        service.endpoints.entry(3).or_default().service = 2;
        target.targets.entry(4).or_default().network = 9;
        source.sources.entry(5).or_default().address = Addr::v4([10, 0, 0, 2]);
        for now in others {
            assert!(!means_the_same(&tables(), &now, &flow), "{now:?}");
        }
        let mut rejected = tables();
        rejected.endpoints.entry(3).or_default().admission = 3;
        assert!(means_the_same(&tables(), &rejected, &flow), "the sweep ends it");
    }
}
