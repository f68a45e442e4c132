//! A flow table that is replaced while packets still go by it.

use std::path::Path;

use aya::maps::MapData;

use super::{error::Error, flows::FlowTable};
use crate::datapath::tables::MapTables;

/// A flow table that is replaced.
#[derive(Debug)]
pub(super) struct Predecessor {
    pub table: FlowTable,
    /// Word and last packet of each slot as they were entered.
    pub entered: Vec<(u32, u32)>,
    /// What the records were that its flows name.
    pub records: MapTables,
}

impl Predecessor {
    /// Opens the table that is pinned at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let map = MapData::from_pin(path).map_err(Error::load("pin of the flow table"))?;
        let table = FlowTable::map(&map)
            .map_err(|source| Error::Read { what: "the flow table before", source })?;
        let entered = vec![(0, 0); table.len()];
        Ok(Self { table, entered, records: MapTables::default() })
    }
}
