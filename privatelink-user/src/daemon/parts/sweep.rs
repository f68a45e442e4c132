//! The sweep of the flow table, which ends flows that are silent or no longer allowed.

use log::info;
use privatelink_common::End;

use super::{frames::Frames, records::Records};
use crate::datapath::bpf::{self, Datapath};

/// The flow table is swept in this many parts, so that a whole sweep takes five seconds.
const PARTS: u32 = 20;
/// Regions that are swept in one go, while packets on this CPU wait.
const STRIDE: u32 = 16;

/// Where the sweep of the flow table goes on.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Sweep {
    next: u32,
}

impl Sweep {
    /// Sweeps the next part of the flow table, notifies the peers of flows that ended, and logs
    /// these.
    pub fn next_part(
        &mut self,
        datapath: &Datapath,
        frames: &Frames,
        records: &mut Records,
    ) -> Result<(), bpf::Error> {
        let all = datapath.regions();
        let first = self.next;
        let end = first.saturating_add(all.div_ceil(PARTS)).min(all);
        regions(datapath, first, end, |ends| report(datapath, frames, records, ends))?;
        self.next = if end == all { 0 } else { end };
        Ok(())
    }
}

/// Sweeps the whole flow table at once: an entry that flows rely on is marked as gone.
pub(in crate::daemon) fn whole_table(
    datapath: &Datapath,
    frames: &Frames,
    records: &mut Records,
) -> Result<(), bpf::Error> {
    let mut count = 0;
    regions(datapath, 0, datapath.regions(), |ends| {
        count += ends.len();
        report(datapath, frames, records, ends);
    })?;
    if count != 0 {
        info!("{count} flows ended");
    }
    Ok(())
}

fn report(datapath: &Datapath, frames: &Frames, records: &mut Records, ends: Vec<End>) {
    frames.notify_peers(&ends);
    records.log_ended(datapath, ends);
}

/// Passes on what ended after each stride, so that a million ends need no room at once.
fn regions(
    datapath: &Datapath,
    first: u32,
    end: u32,
    mut ended: impl FnMut(Vec<End>),
) -> Result<(), bpf::Error> {
    let mut next = first;
    while next < end {
        let count = STRIDE.min(end - next);
        let ends = datapath.sweep(next, count)?;
        if !ends.is_empty() {
            ended(ends);
        }
        next += count;
    }
    Ok(())
}
