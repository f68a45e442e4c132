//! Flows of a flow table that is replaced, on their way into the new one.
//!
//! Packets go by the old table until interfaces have the new programs. So its flows are entered
//! twice: all of them before, and what has changed meanwhile after. Until then the old table stays
//! pinned, beside the new one: a daemon that dies in between begins again.

use std::path::Path;

use log::{info, warn};
use privatelink_common::{
    flow::Flow,
    maps::{ADOPT_BATCH, ADOPT_PROGRAM, SWEEP_RANGE},
};
use zerocopy::IntoBytes;

use super::{
    error::Error,
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

impl Datapath {
    /// Enters all flows of the table before.
    pub(super) fn begin_carrying(&mut self) -> Result<(), Error> {
        let Some(mut before) = self.before.take() else { return Ok(()) };
        before.records = self.store()?.load()?;
        let carried = self.carry(&mut before, |_| true)?;
        info!("{} flows of the flow table before were entered", carried.entered / 2);
        if carried.without_room != 0 {
            warn!("the flow table has no room for {} flows", carried.without_room.div_ceil(2));
        }
        self.before = Some(before);
        Ok(())
    }

    /// Once all interfaces have the new programs, enters what has changed, and lets go of the table
    /// before. Does nothing otherwise.
    ///
    /// # Errors
    /// When the kernel does not run the program, or the pins cannot be read.
    pub fn finish_carrying(&mut self) -> Result<(), Error> {
        let Some(held) = self.pins.as_ref().filter(|_| self.before.is_some()) else {
            return Ok(());
        };
        let old = |link: &pins::PinnedLink| link.ifindex != 0 && link.program != self.program_id;
        if held.pins.links()?.iter().any(old) {
            return Ok(());
        }
        let Some(mut before) = self.before.take() else { return Ok(()) };
        let now = self.store()?.load()?;
        let then = std::mem::take(&mut before.records);
        let carried = self.carry(&mut before, |flow| means_the_same(&then, &now, flow))?;
        info!("{} directions of flows had changed meanwhile", carried.entered);
        if let Some(held) = &self.pins {
            pins::remove_file(&held.pins.path(pins::BEFORE))?;
        }
        Ok(())
    }

    /// Enters the flows of `before` that were not, or have changed since.
    fn carry(
        &self,
        before: &mut Predecessor,
        is_wanted: impl Fn(&Flow) -> bool,
    ) -> Result<Carried, Error> {
        let mut carried = Carried::default();
        let mut batch = Vec::with_capacity(ADOPT_BATCH);
        for (index, flow) in before.table.all_live() {
            let mark = (flow.word, flow.last_seen);
            match before.entered.get_mut(index) {
                Some(entered) if *entered != mark => *entered = mark,
                _ => continue,
            }
            if !is_wanted(&flow) {
                continue;
            }
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
    use privatelink_common::{Addr, Endpoint, Source, Target};

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
