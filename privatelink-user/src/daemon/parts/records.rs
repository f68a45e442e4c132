//! The flow log: which flows it is given, and when.

use std::{io, path::Path, sync::Arc, time::Duration};

use log::{info, warn};
use privatelink_common::End;
use tokio::time::Instant;

use crate::{
    datapath::{bpf::Datapath, flow_records::FlowRecords, tables::MapTables},
    events::{Event, Kind},
    flow_log::{
        Batch, Clock, FlowSource, IndexNames, IntervalTick, Log, RecordCounts, Samples, Totals,
    },
    interface::types,
    model::{FlowLog, Gateway, Model, Name},
    state::ids::Ids,
    timestamp::Timestamp,
};

/// The least time between two events about lost records.
const PAUSE: Duration = Duration::from_secs(60);

/// The flow log, if there is one, and the names that it uses for indices.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Records {
    log: Option<Log>,
    names: Arc<IndexNames>,
    totals: Arc<Totals>,
    /// How many refused flows of each principal may be logged.
    samples: Samples,
    /// How many flows the kernel had left out at the last batch.
    left_out: u64,
    /// When live flows are logged next.
    interval_due: Option<Instant>,
    /// How many lost records the last event counted, and when that was.
    reported: Option<(u64, Instant)>,
}

impl Records {
    /// No log yet, and the names of a configuration.
    pub fn of(model: &Model, ids: &Ids) -> Self {
        let mut records = Self::default();
        records.name(model, ids);
        records
    }

    /// Adds the names of a configuration.
    pub fn name(&mut self, model: &Model, ids: &Ids) {
        Arc::make_mut(&mut self.names).update(model, ids);
    }

    /// Notes the names behind the indices of endpoints that are new.
    pub fn name_added(&mut self, model: &Model, ids: &Ids, added: &[Name]) {
        let names = Arc::make_mut(&mut self.names);
        added
            .iter()
            .filter_map(|name| model.endpoints().get(name))
            .for_each(|endpoint| names.add(model, ids, endpoint));
    }

    /// Starts the log that the configuration asks for, unless it runs; returns what does not work.
    pub fn reconcile(&mut self, gateway: &Gateway, datapath: &Datapath) -> Option<String> {
        let wanted = gateway.flow_log.as_ref();
        if self.log.as_ref().map(Log::settings) != wanted {
            self.log = None;
            let settings = wanted?;
            // Flows that were refused before this log began are none of its business.
            drop(datapath.refusals());
            self.left_out = left_out(datapath);
            match self.begin(settings, &gateway.state_dir, datapath) {
                Ok(log) => self.log = Some(log),
                Err(error) => return Some(format!("cannot start the flow log: {error}")),
            }
            self.interval_due = Some(Instant::now() + settings.interval.get());
            info!("writing the flow log to {}", settings.to);
        }
        self.log.as_ref().and_then(Log::problem)
    }

    /// Starts a log that reads live flows from the flow table by itself.
    fn begin(&self, settings: &FlowLog, state_dir: &Path, datapath: &Datapath) -> io::Result<Log> {
        let reader = Arc::clone(datapath.reader());
        let flows = FlowSource::new(move |visit| reader.flows().for_each(|flow| visit(&flow)));
        Log::start(settings.clone(), state_dir, flows, Arc::clone(&self.totals))
    }

    /// How many records were written and lost.
    pub fn totals(&self) -> &Arc<Totals> {
        &self.totals
    }

    /// The names of indices.
    pub fn names(&self) -> &Arc<IndexNames> {
        &self.names
    }

    /// Reopens the file: another program may have moved it away.
    pub fn reopen(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Where records go and how many there were, if there is a log.
    pub fn status(&self) -> Option<types::FlowLog> {
        let log = self.log.as_ref()?;
        let (to, RecordCounts { written, lost }) =
            (log.settings().to.to_string(), self.totals.counts());
        Some(types::FlowLog { to, written, lost })
    }

    /// An event about records that were lost since the last one, unless that was just now.
    pub fn lost(&mut self, now: Instant) -> Option<Event> {
        let lost = self.newly_lost(now)?;
        Some(Event::new(Kind::FlowLogLost, format!("flow log: {lost} records were lost")))
    }

    fn newly_lost(&mut self, now: Instant) -> Option<u64> {
        if self.reported.is_some_and(|(_, when)| now < when + PAUSE) {
            return None;
        }
        let lost = self.totals.counts().lost;
        let before = self.reported.map_or(0, |(lost, _)| lost);
        (lost > before).then(|| {
            self.reported = Some((lost, now));
            lost - before
        })
    }

    /// Logs flows that have ended, and flows that were refused meanwhile.
    pub fn log_ended(&mut self, datapath: &Datapath, ends: Vec<End>) {
        let Some(log) = &self.log else { return };
        let mut refused = datapath.refusals();
        let all = left_out(datapath);
        let mut left_out = all.wrapping_sub(std::mem::replace(&mut self.left_out, all));
        if log.settings().refusals {
            let now = std::time::Instant::now();
            let beyond = self.samples.limit(&mut refused, &self.names, now);
            left_out = left_out.wrapping_add(beyond.values().sum());
            self.totals.add_left_out(&beyond);
        }
        if ends.is_empty() && refused.is_empty() && left_out == 0 {
            return;
        }
        match datapath.now_ticks() {
            Ok(ticks) => {
                let (names, clock) =
                    (Arc::clone(&self.names), Clock { ticks, now: Timestamp::now() });
                log.submit(Batch { ends, refused, left_out, names, clock });
            }
            Err(error) => warn!("lost flow-log records: cannot read the datapath's clock: {error}"),
        }
    }

    /// Logs flows that were refused, and interval records for live flows when due. `tables` is
    /// what the maps hold.
    pub fn log_others(&mut self, datapath: &Datapath, tables: Option<&MapTables>) {
        self.log_ended(datapath, Vec::new());
        if let Some(tables) = tables {
            self.log_live(datapath, tables);
        }
    }

    fn log_live(&mut self, datapath: &Datapath, tables: &MapTables) {
        let Some(log) = &self.log else { return };
        if self.interval_due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        self.interval_due = Some(Instant::now() + log.settings().interval.get());
        let Ok(ticks) = datapath.now_ticks() else { return };
        let (parts, names) = (FlowRecords::of(tables), Arc::clone(&self.names));
        log.interval(IntervalTick { parts, names, clock: Clock { ticks, now: Timestamp::now() } });
    }
}

/// How many ended and refused flows the kernel did not report. If it does not say, none more.
fn left_out(datapath: &Datapath) -> u64 {
    let ends = datapath.reader().ends_lost().unwrap_or_default();
    ends.wrapping_add(datapath.reader().refusals_left_out().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_records_are_reported_once_and_not_too_often() {
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
