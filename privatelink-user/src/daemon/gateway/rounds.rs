//! What the loop does again and again: sweeps of the flow table, and looks around.

use tokio::time::Instant;

use super::Gateway;
use crate::{
    daemon::parts::{SweepScope, TURN},
    datapath::bpf,
    supervision,
};

impl Gateway {
    /// Sweeps the next part of the flow table, and logs what ended, was refused, or is live.
    /// `true` if the maps are to be reconciled now.
    pub fn sweep_flows(&mut self) -> Result<bool, bpf::Error> {
        self.sweep.part_is_due(self.datapath.regions());
        self.records.log_others(&self.datapath, self.maps.contents());
        let swept = self.go_on_sweeping()?;
        let obeyed = self.deadlines.have_been_obeyed(&self.datapath)?;
        if obeyed {
            self.maps.forget();
        }
        Ok(swept || obeyed)
    }

    /// Whether the sweep has more to do.
    pub fn is_sweeping(&mut self) -> bool {
        self.sweep.is_busy(self.maps.passes())
    }

    /// The sweep has failed: it goes on when the next part is due.
    pub fn pause_sweeping(&mut self) {
        self.sweep.pause();
    }

    /// Sweeps for a moment. `true` if entries of the maps can be removed now.
    pub fn go_on_sweeping(&mut self) -> Result<bool, bpf::Error> {
        let (datapath, frames, records) = (&self.datapath, &self.frames, &mut self.records);
        let endpoints = self.deadlines.endpoints();
        self.sweep.take_turn(
            TURN,
            self.maps.passes(),
            SweepScope { datapath, frames, endpoints, records },
        )
    }

    /// Looks how new flows to targets go, and checks those at once where they go badly.
    pub fn look_for_symptoms(&mut self) -> Result<(), bpf::Error> {
        self.health.suspect_by_flows(&self.datapath)
    }

    /// Looks for what no message reports. `Ok(true)` if an interface has lost the program, if the disk
    /// is to be tried again, or if something has panicked.
    pub fn look_around(&mut self) -> Result<bool, String> {
        self.publisher.note_drops(self.datapath.reader(), std::time::Instant::now());
        let (endpoints, ids) = (self.model.endpoints().values(), &self.store.state().ids);
        let indices: Vec<u32> = endpoints.filter_map(|endpoint| ids.endpoint(endpoint)).collect();
        let reader = self.datapath.reader();
        self.publisher.note_refusals(reader, &indices, std::time::Instant::now());
        self.events.publish_all(self.records.lost(Instant::now()));
        self.events.publish_all(self.surroundings.flapping());
        self.events.report_left_out(std::time::Instant::now());
        self.keys.write_uses(self.store.as_mut(), Instant::now());
        let unkept = self.keeping.is_due(self.store.as_ref(), Instant::now());
        let attached =
            self.attachments.are_incomplete(&self.model, self.host.facts(), &self.datapath);
        let conflicts = self.look_for_conflicts();
        let panics = supervision::panics();
        let panicked = std::mem::replace(&mut self.panics, panics) != panics;
        self.events.publish_all(self.backbone.events(&self.model));
        let linked = self.backbone.has_news();
        Ok(attached? || unkept || panicked || conflicts || linked)
    }

    /// Looks for other hosts that use an address of the gateway; `true` if there is news.
    fn look_for_conflicts(&mut self) -> bool {
        let (facts, tables, sender) =
            (self.host.facts(), self.maps.contents(), self.frames.sender());
        let events =
            self.conflicts.look(&self.model, facts, tables, sender, std::time::Instant::now());
        let is_news = !events.is_empty();
        self.events.publish_all(events);
        is_news
    }
}
