//! Records of flows that last: what has come since the record before.

use std::{collections::BTreeMap, fmt, sync::Arc};

use privatelink_common::flow::Flow;

use super::{
    index_names::IndexNames,
    marks::{Key, Mark, Marks},
    record::{Clock, FlowCounts, Record, ResolvedFlow},
};
use crate::datapath::flow_records::FlowRecords;

/// Calls its argument for each slot that it knows of.
type Visit = dyn Fn(&mut dyn FnMut(&Flow)) + Send;

/// Shows every live slot of the flow table, each flow's two in any order.
pub struct FlowSource(Box<Visit>);

impl FlowSource {
    /// A source that calls its argument for each slot.
    pub fn new(visit: impl Fn(&mut dyn FnMut(&Flow)) + Send + 'static) -> Self {
        Self(Box::new(visit))
    }
}

impl fmt::Debug for FlowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowSource")
    }
}

/// The moment at which flows that last get their records.
#[derive(Clone, Debug)]
pub struct IntervalTick {
    /// What indices stand for.
    pub parts: FlowRecords,
    /// Their names.
    pub names: Arc<IndexNames>,
    /// The time.
    pub clock: Clock,
}

/// Both directions of a flow, as they were a moment ago.
struct Both {
    forward: Flow,
    reverse: Option<Flow>,
}

impl Both {
    /// What was counted. A direction that was not seen counts as it did before: what is missing
    /// now is told later.
    fn counts(&self, before: FlowCounts) -> FlowCounts {
        let (packets_out, bytes_out) = match &self.reverse {
            Some(reverse) => (reverse.packets, reverse.bytes),
            None => (before.packets_out, before.bytes_out),
        };
        let (packets_in, bytes_in) = (self.forward.packets, self.forward.bytes);
        FlowCounts { packets_in, packets_out, bytes_in, bytes_out }
    }

    /// Tick of the last packet.
    fn last_seen(&self) -> u32 {
        let forward = self.forward.last_seen;
        let reverse = self.reverse.map_or(forward, |reverse| reverse.last_seen);
        if reverse.wrapping_sub(forward).cast_signed() > 0 { reverse } else { forward }
    }
}

/// Makes a record of each flow of which there is something new; the marks follow.
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
            // Its end will tell the rest.
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

/// The flows of a source.
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

    /// A flow's two slots, which have come so far.
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

    #[test]
    fn each_packet_is_told_once_whatever_happens_between() {
        let directory = tempfile::tempdir().unwrap();
        let table = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&table);
        let source = FlowSource::new(move |visit| {
            shown.lock().unwrap().iter().for_each(&mut *visit);
        });
        let mut tables = MapTables::default();
        tables.endpoints.insert(0, Endpoint::default());
        tables.targets.insert(0, Target::default());
        tables.sources.insert(0, Source::default());
        let mut told = BTreeMap::<Timestamp, (u64, u64)>::new();
        let mut marks = Marks::open(directory.path());
        for (round, flows) in [
            vec![slots(10, 1).to_vec(), slots(20, 1).to_vec()],
            vec![slots(10, 1).to_vec(), slots(20, 5).to_vec()],
            // One direction is being written just now.
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
                // Another daemon goes on.
                marks = Marks::open(directory.path());
            }
        }
        let sums: Vec<(u64, u64)> = told.into_values().collect();
        assert_eq!(sums, [(800, 1_600), (900, 1_800)]);
        // What the end has still to tell is the rest.
        let [forward, _] = slots(10, 8);
        assert_eq!(marks.take(&Key::of(&forward)).unwrap().counts.bytes_in, 800);
    }
}
