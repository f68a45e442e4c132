//! A flow table that is replaced while packets still go by it.

use std::path::Path;

use aya::maps::MapData;
use privatelink_common::flow::{Flow, word};

use super::{error::Error, flows::FlowTable, former};
use crate::datapath::tables::MapTables;

/// A flow table that is replaced.
#[derive(Debug)]
pub(super) struct Predecessor {
    table: FlowTable,
    /// Version of its layout.
    version: u32,
    /// Word and last packet of each slot as they were entered.
    entered: Vec<(u32, u32)>,
    /// What the records were that its flows name.
    pub records: MapTables,
}

impl Predecessor {
    /// Opens the table of this layout that is pinned at `path`.
    pub(super) fn open(path: &Path, version: u32) -> Result<Self, Error> {
        let map = MapData::from_pin(path).map_err(Error::load("pin of the flow table"))?;
        let table = FlowTable::map(&map)
            .map_err(|source| Error::Read { what: "the flow table before", source })?;
        let entered = vec![(0, 0); table.len()];
        Ok(Self { table, version, entered, records: MapTables::default() })
    }

    /// Its flows that are wanted and have not been returned as they are now, one direction each.
    pub(super) fn next(&mut self, is_wanted: impl Fn(&Flow) -> bool) -> impl Iterator<Item = Flow> {
        let Self { table, version, entered, .. } = self;
        let is_former = *version == former::LAYOUT;
        table.all_live().filter_map(move |(index, flow)| {
            let mark = (flow.word, flow.last_seen);
            let entered = entered.get_mut(index).filter(|entered| **entered != mark)?;
            if !is_wanted(&flow) {
                return None;
            }
            *entered = mark;
            Some(if is_former { Flow { word: former::word(flow.word), ..flow } } else { flow })
        })
    }

    /// How many of its flows were never returned.
    pub(super) fn left_behind(&self) -> usize {
        let never = |index: usize| self.entered.get(index).is_none_or(|mark| *mark == (0, 0));
        let live = self.table.all_live().filter(|(_, flow)| flow.word & word::REVERSE == 0);
        live.filter(|(index, _)| never(*index)).count()
    }

    /// The version of its layout.
    pub(super) fn version(&self) -> u32 {
        self.version
    }
}
