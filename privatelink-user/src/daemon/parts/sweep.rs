//! Ends flows, and tells both ends of them.

use log::{info, warn};
use privatelink_common::End;

use crate::daemon::{Error, gateway::Gateway};
use crate::{
    chain::Chain,
    datapath::{bpf::FrameSender, frames::challenge_acks},
};

/// Parts that a sweep of the flow table is done in, so that it takes five seconds.
const SWEEP_PARTS: u32 = 20;
/// Regions that are swept in one go, with packets on this CPU waiting meanwhile.
const SWEEP_STRIDE: u32 = 16;

/// The sweep of the flow table, and who is told what it ends.
#[derive(Debug)]
pub(in crate::daemon) struct Endings {
    /// The region where the sweep goes on.
    next: u32,
    /// What sends the daemon's own frames, or why it cannot.
    sender: Result<FrameSender, String>,
}

impl Endings {
    /// Without the right to send frames, flows end in silence.
    pub fn new() -> Self {
        let sender = FrameSender::open().map_err(|error| {
            let error = Chain(&error);
            format!("flows end without resets, and addresses are not announced: grant the daemon CAP_NET_RAW ({error})")
        });
        Self { next: 0, sender }
    }

    /// What sends frames, if the daemon may.
    pub fn sender(&self) -> Option<&FrameSender> {
        self.sender.as_ref().ok()
    }

    /// What is wrong.
    pub fn problem(&self) -> Option<String> {
        self.sender.as_ref().err().cloned()
    }

    /// Makes both ends of each flow ask what became of it.
    fn tell(&self, ends: &[End]) {
        let Ok(sender) = &self.sender else { return };
        let mut failed = None;
        for question in ends.iter().flat_map(challenge_acks::questions) {
            if let Err(error) = sender.send(question.ifindex, &question.frame) {
                failed = Some((question.ifindex, error));
            }
        }
        if let Some((ifindex, error)) = failed {
            warn!("some ends of flows were not told on interface {ifindex}: {error}");
        }
    }
}

impl Gateway {
    /// Ends silent flows in the next part of the flow table.
    pub fn sweep(&mut self) -> Result<(), Error> {
        let all = self.datapath.regions();
        let first = self.endings.next;
        let end = first.saturating_add(all.div_ceil(SWEEP_PARTS)).min(all);
        self.sweep_regions(first, end)?;
        self.record_others();
        self.endings.next = if end == all { 0 } else { end };
        Ok(())
    }

    /// Ends every flow that may not go on.
    pub(in crate::daemon) fn end_flows(&mut self) -> Result<(), Error> {
        let ended = self.sweep_regions(0, self.datapath.regions())?;
        if ended != 0 {
            info!("{ended} flows ended");
        }
        Ok(())
    }

    fn sweep_regions(&mut self, first: u32, end: u32) -> Result<usize, Error> {
        let mut ended = 0;
        let mut next = first;
        while next < end {
            let regions = SWEEP_STRIDE.min(end - next);
            let ends = self.datapath.sweep(next, regions)?;
            self.endings.tell(&ends);
            ended += ends.len();
            if !ends.is_empty() {
                self.record(ends);
            }
            next += regions;
        }
        Ok(ended)
    }
}
