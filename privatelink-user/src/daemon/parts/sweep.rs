//! The sweep of the flow table, which ends flows that are silent or no longer allowed.

use std::time::{Duration, Instant};

use log::info;
use privatelink_common::End;

use super::{frames::Frames, passes::Passes, records::Records};
use crate::{
    daemon::paced_count::PacedCount,
    datapath::bpf::{self, Datapath},
};

/// The flow table is swept in this many parts, so that a whole sweep takes five seconds.
const PARTS: u32 = 20;
/// Regions that are swept in one go at most, while packets on this CPU wait.
const STRIDE: u32 = 16;
/// Flows that should end in one go at most: the loop does nothing else until their peers are notified.
const FLOWS: usize = 256;
/// How long the loop sweeps before it looks for other work. The peers of each ended flow are
/// notified, which takes most of the time.
pub(in crate::daemon) const TURN: Duration = Duration::from_millis(20);
/// The same for the first turn after records were marked as gone: usually it ends all their flows.
pub(in crate::daemon) const FIRST_TURN: Duration = Duration::from_millis(200);

/// Where the sweep of the flow table goes on.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Sweep {
    next: u32,
    /// How many regions are due.
    due: u32,
    /// Regions of the next go. A full one has up to 128 flows.
    stride: u32,
    /// How many flows the running passes have ended.
    ended: usize,
    /// The same of passes that are over, for the log.
    logged: PacedCount,
    /// Whether to do nothing until the next part is due.
    paused: bool,
}

/// What the sweep acts on.
pub(in crate::daemon) struct SweepScope<'a> {
    /// The programs and maps.
    pub datapath: &'a Datapath,
    /// How peers are notified.
    pub frames: &'a Frames,
    /// How many indices of endpoints the kernel looks at once no daemon runs.
    pub endpoints: u32,
    /// Where ended flows are logged.
    pub records: &'a mut Records,
}

impl Sweep {
    /// The next part of the flow table is due.
    pub fn part_is_due(&mut self, regions: u32) {
        self.paused = false;
        self.stride = 1;
        self.due = self.due.saturating_add(regions.div_ceil(PARTS)).min(regions);
    }

    /// Whether there is something to sweep.
    pub fn is_busy(&self, passes: &Passes) -> bool {
        !self.paused && (self.due != 0 || passes.next().is_some())
    }

    /// Does nothing until the next part is due.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Sweeps for this long what is due, and `passes` over the whole table before that. `true` if a
    /// pass was completed.
    pub fn take_turn(
        &mut self,
        turn: Duration,
        passes: &mut Passes,
        mut to: SweepScope<'_>,
    ) -> Result<bool, bpf::Error> {
        let (begin, regions) = (Instant::now(), to.datapath.regions());
        let mut completed = false;
        while begin.elapsed() < turn {
            if let Some(first) = passes.next() {
                if first == 0 {
                    self.stride = 1;
                    // A CPU that has read an endpoint as it was may be about to open a flow by its
                    // former rules, and no later pass would ask them.
                    bpf::quiesce();
                }
                let (end, ended) = to.stride(first, self.stride, regions, true)?;
                self.stride = next_stride(self.stride, ended);
                passes.swept_to(end, regions);
                // A pass does what a part would.
                self.due = 0;
                self.ended += ended;
                completed |= end == regions;
                if end == regions
                    && let Some(ended) =
                        self.logged.add(std::mem::take(&mut self.ended), Instant::now())
                {
                    info!("{ended} flows ended");
                }
            } else if self.due != 0 {
                let (end, ended) = to.stride(self.next, self.stride, regions, false)?;
                self.stride = next_stride(self.stride, ended);
                self.due = self.due.saturating_sub(end - self.next);
                self.next = if end == regions { 0 } else { end };
            } else {
                break;
            }
        }
        Ok(completed)
    }
}

/// How many regions to sweep in the next go, after so many flows ended in this one.
fn next_stride(stride: u32, ended: usize) -> u32 {
    if ended > FLOWS {
        (stride / 2).max(1)
    } else if ended > FLOWS / 4 {
        stride
    } else {
        (stride * 2).clamp(1, STRIDE)
    }
}

impl SweepScope<'_> {
    /// Sweeps a few regions, notifies the peers of flows that ended, and logs these. Returns where
    /// to go on, and how many ended.
    fn stride(
        &mut self,
        first: u32,
        stride: u32,
        regions: u32,
        with_rules: bool,
    ) -> Result<(u32, usize), bpf::Error> {
        let first = first.min(regions);
        let count = stride.clamp(1, STRIDE).min(regions - first);
        let mut ends: Vec<End> =
            self.datapath.sweep_and_watch(first, count, with_rules, self.endpoints)?;
        self.frames.notify_peers(&ends);
        ends.retain(|end| !end.is_doubted());
        let ended = ends.len();
        if ended != 0 {
            self.records.log_ended(self.datapath, ends);
        }
        Ok((first + count, ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_go_ends_many_flows_however_full_the_regions_are() {
        for in_region in [0, 1, 10, 64, 128] {
            let (mut stride, mut most, mut goes) = (1, 0, 0);
            let mut left = 1_024_u32;
            while left > 0 {
                let count = stride.min(left);
                let ended = count as usize * in_region;
                most = most.max(ended);
                (stride, left, goes) = (next_stride(stride, ended), left - count, goes + 1);
            }
            assert!(most <= FLOWS, "{in_region} in each: {most}");
            assert!(in_region > 1 || goes < 80, "{in_region} in each: {goes} goes");
        }
    }
}
