//! What tests of endpoints share: who may test now, and the rehearsal.

use std::{sync::Arc, time::Instant};

use super::capacity;
use crate::{
    access::Rights,
    datapath::bpf::Datapath,
    model::{Gateway, Name},
    trial::{Pace, RehearsalStage},
};

/// What tests share.
pub(in crate::daemon) struct Trials {
    pace: Pace,
    stage: Arc<RehearsalStage>,
}

impl Trials {
    /// For the programs that are pinned.
    pub fn new(gateway: &Gateway, datapath: &Datapath) -> Self {
        let max_flows = capacity::of(gateway, datapath.regions());
        let max_flows = u32::try_from(max_flows).unwrap_or(u32::MAX);
        let stage = RehearsalStage::new(gateway.pin_dir.clone(), max_flows);
        Self { pace: Pace::default(), stage: Arc::new(stage) }
    }

    /// Whether a caller with these rights may test now; if so, the test counts.
    pub fn admit(&mut self, rights: &Rights) -> bool {
        let Rights::Of(principals) = rights else { return true };
        let whom = principals.iter().map(Name::as_str).collect::<Vec<_>>().join(" ");
        self.pace.admits(whom, Instant::now())
    }

    /// Where frames are judged.
    pub fn stage(&self) -> Arc<RehearsalStage> {
        Arc::clone(&self.stage)
    }
}
