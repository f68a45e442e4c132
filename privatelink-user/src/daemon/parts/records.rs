//! The flow log of a running gateway: what it is told, and when.

use std::{io, path::Path, sync::Arc, time::Duration};

use log::{info, warn};
use privatelink_common::End;
use tokio::time::Instant;

use crate::daemon::gateway::Gateway;
use crate::{
    datapath::{bpf::Datapath, flow_records::FlowRecords, tables::Tables},
    events::{Event, Kind},
    flow_log::{Batch, Clock, Counts, FlowSource, Interval, Log, Names, Totals},
    interface::types,
    model::{self, FlowLog, Model},
    state::ids::Ids,
    timestamp::Timestamp,
};

/// The time between two events about lost records, at least.
const PAUSE: Duration = Duration::from_secs(60);

/// The flow log, if there is one, and what it calls things.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Records {
    log: Option<Log>,
    names: Arc<Names>,
    totals: Arc<Totals>,
    /// What the kernel had left out when the log was told last.
    left_out: u64,
    /// When flows that last are to be told of.
    due: Option<Instant>,
    /// How many lost records an event told of, and when.
    told: Option<(u64, Instant)>,
}

impl Records {
    /// Takes over the names of a configuration.
    pub fn name(&mut self, model: &Model, ids: &Ids) {
        Arc::make_mut(&mut self.names).update(model, ids);
    }

    /// Begins the log that is wanted, if it is another; says why it cannot.
    pub fn follow(&mut self, gateway: &model::Gateway, datapath: &Datapath) -> Option<String> {
        let wanted = gateway.flow_log.as_ref();
        if self.log.as_ref().map(Log::settings) != wanted {
            self.log = None;
            let settings = wanted?;
            // What was refused before is of no log.
            drop(datapath.refusals());
            self.left_out = left_out(datapath);
            match self.begin(settings, &gateway.state_dir, datapath) {
                Ok(log) => self.log = Some(log),
                Err(error) => return Some(format!("there is no flow log: {error}")),
            }
            self.due = Some(Instant::now() + settings.interval.get());
            info!("records of flows go to {}", settings.to);
        }
        self.log.as_ref().and_then(Log::problem)
    }

    /// Starts a log that reads the flow table by itself.
    fn begin(&self, settings: &FlowLog, state_dir: &Path, datapath: &Datapath) -> io::Result<Log> {
        let reader = Arc::clone(datapath.reader());
        let flows = FlowSource::new(move |visit| reader.flows().for_each(|flow| visit(&flow)));
        Log::start(settings.clone(), state_dir, flows, Arc::clone(&self.totals))
    }

    /// How many records there were.
    pub fn totals(&self) -> &Arc<Totals> {
        &self.totals
    }

    /// What indices are called.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Opens the file anew.
    pub fn reopen(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// What is told of the log.
    pub fn told(&self) -> Option<types::FlowLog> {
        let log = self.log.as_ref()?;
        let (to, Counts { written, lost }) = (log.settings().to.to_string(), self.totals.counts());
        Some(types::FlowLog { to, written, lost })
    }

    /// How many records have been lost that nobody was told of, unless somebody was just now.
    fn newly_lost(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|(_, when)| now < when + PAUSE) {
            return None;
        }
        let lost = self.totals.counts().lost;
        let before = self.told.map_or(0, |(lost, _)| lost);
        (lost > before).then(|| {
            self.told = Some((lost, now));
            lost - before
        })
    }

    /// Has flows that last told of, if it is time.
    fn tell_of_lasting(&mut self, datapath: &Datapath, tables: Option<&Tables>) {
        let (Some(log), Some(tables)) = (&self.log, tables) else { return };
        if self.due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        self.due = Some(Instant::now() + log.settings().interval.get());
        let Ok(ticks) = datapath.now_ticks() else { return };
        let (parts, names) = (FlowRecords::of(tables), Arc::clone(&self.names));
        log.interval(Interval { parts, names, clock: Clock { ticks, now: Timestamp::now() } });
    }

    fn submit(&mut self, datapath: &Datapath, ends: Vec<End>) {
        let Some(log) = &self.log else { return };
        let refused = datapath.refusals();
        let all = left_out(datapath);
        let left_out = all.wrapping_sub(std::mem::replace(&mut self.left_out, all));
        if ends.is_empty() && refused.is_empty() && left_out == 0 {
            return;
        }
        match datapath.now_ticks() {
            Ok(ticks) => {
                let (names, clock) =
                    (Arc::clone(&self.names), Clock { ticks, now: Timestamp::now() });
                log.submit(Batch { ends, refused, left_out, names, clock });
            }
            Err(error) => warn!("records of flows are lost: {error}"),
        }
    }
}

/// Ends and refused flows that the kernel did not tell of; as many as before if it does not say.
fn left_out(datapath: &Datapath) -> u64 {
    let ends = datapath.reader().ends_lost().unwrap_or_default();
    ends.wrapping_add(datapath.reader().refusals_left_out().unwrap_or_default())
}

impl Gateway {
    /// Tells of records that were lost, from time to time.
    pub fn note_lost_records(&mut self) {
        if let Some(lost) = self.records.newly_lost(Instant::now()) {
            let text = format!("flow log: {lost} records were lost");
            self.events.publish(Event::new(Kind::FlowLogLost, text));
        }
    }

    /// Has the flow log tell of flows that have ended, and of those that were refused meanwhile.
    pub(in crate::daemon) fn record(&mut self, ends: Vec<End>) {
        self.records.submit(&self.datapath, ends);
    }

    /// Has the flow log tell of flows that were refused, and, if it is time, of those that last.
    pub(in crate::daemon) fn record_others(&mut self) {
        self.records.submit(&self.datapath, Vec::new());
        self.records.tell_of_lasting(&self.datapath, self.actual.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_records_are_told_of_once_and_not_too_often() {
        let mut records = Records::default();
        let begin = Instant::now();
        let mut look = |lost, seconds| {
            records.totals.add_lost(lost);
            records.newly_lost(begin + Duration::from_secs(seconds))
        };
        assert_eq!(look(0, 0), None);
        assert_eq!(look(3, 10), Some(3));
        assert_eq!(look(2, 20), None, "so soon after");
        assert_eq!(look(2, 70), Some(4));
        assert_eq!(look(0, 140), None);
    }
}
