//! Interval records of live flows: what was counted since the previous record.

use std::{collections::BTreeMap, fmt, sync::Arc};

use privatelink_common::flow::Flow;

use super::{
    index_names::IndexNames,
    marks::{Key, Mark, Marks},
    record::{Clock, DirectionCounts, Record, ResolvedFlow},
};
use crate::datapath::flow_records::FlowRecords;

/// Calls its argument for each live slot.
type Visit = dyn Fn(&mut dyn FnMut(&Flow)) + Send;

/// Visits every live slot of the flow table. The two slots of a flow come in any order.
pub struct FlowSource(Box<Visit>);

impl FlowSource {
    /// A source that visits slots with `visit`.
    pub fn new(visit: impl Fn(&mut dyn FnMut(&Flow)) + Send + 'static) -> Self {
        Self(Box::new(visit))
    }
}

impl fmt::Debug for FlowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowSource")
    }
}

/// The names and the time for one round of interval records.
#[derive(Clone, Debug)]
pub struct IntervalTick {
    /// The objects behind indices.
    pub parts: FlowRecords,
    /// The names behind indices.
    pub names: Arc<IndexNames>,
    /// The time of the round.
    pub clock: Clock,
}

/// Both directions of a flow, as last read.
struct Both {
    forward: Flow,
    reverse: Option<Flow>,
}

impl Both {
    /// The counts of both directions. A direction that could not be read keeps its previous
    /// counts; a later record has the difference.
    fn counts(&self, before: DirectionCounts) -> DirectionCounts {
        let (packets_out, bytes_out) = match &self.reverse {
            Some(reverse) => (reverse.packets, reverse.bytes),
            None => (before.packets_out, before.bytes_out),
        };
        let (packets_in, bytes_in) = (self.forward.packets, self.forward.bytes);
        DirectionCounts { packets_in, packets_out, bytes_in, bytes_out }
    }

    /// The tick of the last packet in either direction.
    fn last_seen(&self) -> u32 {
        let forward = self.forward.last_seen;
        let reverse = self.reverse.map_or(forward, |reverse| reverse.last_seen);
        if reverse.wrapping_sub(forward).cast_signed() > 0 { reverse } else { forward }
    }
}

/// Makes a record of each flow that has new packets, and updates its mark.
pub(super) fn records(
    source: &FlowSource,
    interval: &IntervalTick,
    marks: &mut Marks,
    mut each: impl FnMut(&Record<'_>),
) {
    let all = both(source);
    for (key, flow) in &all {
        let before = marks.of(key);
        let told = before.map(|mark| mark.counts).unwrap_or_default();
        let counted = flow.counts(told);
        if counted == told {
            continue;
        }
        let IntervalTick { parts, names, clock } = interval;
        let forward = &flow.forward;
        let (Some(endpoint), Some(source), Some(target)) = (
            parts.endpoints.get(&forward.endpoint()),
            parts.sources.get(&forward.source.into()),
            parts.targets.get(&forward.target()),
        ) else {
            // The record of its end will have the rest.
            continue;
        };
        let flags_out = flow.reverse.map_or(0, |reverse| reverse.tcp_flags());
        let (last_seen, source) = (flow.last_seen(), *source);
        let resolved =
            ResolvedFlow { flow: forward, flags_out, endpoint, source, target, last_seen };
        each(&resolved.record(names, clock, counted.since(told), before.map(Mark::since)));
        marks.put(*key, Mark { counts: counted, at: clock.now.millis() });
    }
    marks.retain(|key| all.contains_key(key));
}

/// The flows of a source, with both directions.
fn both(source: &FlowSource) -> BTreeMap<Key, Both> {
    let mut all = BTreeMap::new();
    (source.0)(&mut |flow| {
        if !flow.is_reverse() {
            all.insert(Key::of(flow), Both { forward: *flow, reverse: None });
        }
    });
    (source.0)(&mut |flow| {
        if flow.is_reverse()
            && let Some(both) = all.get_mut(&Key::of(flow))
        {
            both.reverse = Some(*flow);
        }
    });
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use privatelink_common::{Endpoint, Source, Target, flow::word};

    use super::*;
    use crate::{datapath::tables::MapTables, timestamp::Timestamp};

    /// A flow's two slots after this many packets.
    fn slots(opened: u32, packets: u32) -> [Flow; 2] {
        let forward = Flow {
            word: word::LIVE,
            opened,
            packets,
            bytes: u64::from(packets) * 100,
            ..Flow::default()
        };
        [forward, Flow { word: word::LIVE | word::REVERSE, bytes: forward.bytes * 2, ..forward }]
    }

    /// A flow table whose flows are replaced by the test, and records for the index 0.
    fn scene() -> (Arc<Mutex<Vec<Flow>>>, FlowSource, MapTables) {
        let table = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&table);
        let source = FlowSource::new(move |visit| {
            shown.lock().unwrap().iter().for_each(&mut *visit);
        });
        let mut tables = MapTables::default();
        tables.endpoints.insert(0, Endpoint::default());
        tables.targets.insert(0, Target::default());
        tables.sources.insert(0, Source::default());
        (table, source, tables)
    }

    #[test]
    fn no_record_ends_before_it_begins_when_the_clock_is_set() {
        let directory = tempfile::tempdir().unwrap();
        let (table, source, tables) = scene();
        let mut marks = Marks::open(directory.path());
        let year = 365 * 86_400_000;
        let mut packets = Vec::new();
        for (round, millis) in (1..).zip([56 * year, 66 * year, 56 * year, 46 * year, 56 * year]) {
            *table.lock().unwrap() = slots(10, round).to_vec();
            let clock = Clock { ticks: 10 + round, now: Timestamp::from_millis(millis) };
            let interval =
                IntervalTick { parts: FlowRecords::of(&tables), names: Arc::default(), clock };
            records(&source, &interval, &mut marks, |record| {
                assert!(record.start <= record.end && record.end <= clock.now, "{record:?}");
                packets.push(record.packets_in);
            });
        }
        assert_eq!(packets, [1; 5]);
    }

    #[test]
    fn each_packet_is_recorded_once_across_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let (table, source, tables) = scene();
        let mut told = BTreeMap::<Timestamp, (u64, u64)>::new();
        let mut marks = Marks::open(directory.path());
        for (round, flows) in [
            vec![slots(10, 1).to_vec(), slots(20, 1).to_vec()],
            vec![slots(10, 1).to_vec(), slots(20, 5).to_vec()],
            // One direction is being written and cannot be read.
            vec![slots(10, 7)[..1].to_vec(), slots(20, 9).to_vec()],
            vec![slots(10, 8).to_vec(), slots(20, 9).to_vec()],
        ]
        .into_iter()
        .enumerate()
        {
            *table.lock().unwrap() = flows.concat();
            let clock = Clock { ticks: 1_000, now: Timestamp::from_millis(1_000_000) };
            let interval =
                IntervalTick { parts: FlowRecords::of(&tables), names: Arc::default(), clock };
            records(&source, &interval, &mut marks, |record| {
                let sum = told.entry(record.opened).or_default();
                *sum = (sum.0 + record.bytes_in, sum.1 + record.bytes_out);
            });
            marks.keep();
            if round % 2 == 1 {
                // Another daemon continues.
                marks = Marks::open(directory.path());
            }
        }
        let sums: Vec<(u64, u64)> = told.into_values().collect();
        assert_eq!(sums, [(800, 1_600), (900, 1_800)]);
        // The mark holds what the record of the end must subtract.
        let [forward, _] = slots(10, 8);
        assert_eq!(marks.take(&Key::of(&forward)).unwrap().counts.bytes_in, 800);
    }
}
