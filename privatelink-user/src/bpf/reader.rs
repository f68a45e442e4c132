//! What the programs count and the flows that they hold, for threads besides the daemon's loop.

use aya::maps::MapData;
use privatelink_common::flow::{Flow, Region};
use privatelink_common::{EndpointCounters, Reason, maps};

use super::error::Error;
use super::flows::FlowTable;
use super::{Datapath, batch};

/// Reads the maps without a look at the daemon; nothing waits for it.
#[derive(Debug)]
pub struct Reader {
    endpoints: MapData,
    drops: MapData,
    regions: MapData,
    flow_table: FlowTable,
}

impl Datapath {
    /// A reader of the same maps.
    ///
    /// # Errors
    /// When the process has too many open files, or no room to map the flow table once more.
    pub fn reader(&self) -> Result<Reader, Error> {
        let flow_table =
            FlowTable::map(self.maps.get(maps::SLOTS)?).map_err(failed("the flow table"))?;
        Ok(Reader {
            endpoints: self.maps.duplicate(maps::ENDPOINT_COUNTERS)?,
            drops: self.maps.duplicate(maps::DROPS)?,
            regions: self.maps.duplicate(maps::REGIONS)?,
            flow_table,
        })
    }
}

impl Reader {
    /// What went through endpoints, over all CPUs, in the order of `endpoints`.
    ///
    /// # Errors
    /// When an index is out of range, or the map cannot be read.
    pub fn endpoints(&self, endpoints: &[u32]) -> Result<Vec<EndpointCounters>, Error> {
        batch::sums(&self.endpoints, endpoints).map_err(failed("the counters of endpoints"))
    }

    /// How many packets were not forwarded, by reason, over all CPUs.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn drops(&self) -> Result<Vec<(Reason, u64)>, Error> {
        let indices: Vec<u32> = Reason::ALL.iter().map(|reason| *reason as u32).collect();
        let sums = batch::sums(&self.drops, &indices).map_err(failed("the drop counters"))?;
        Ok(Reason::ALL.iter().copied().zip(sums).collect())
    }

    /// How many flows there are, without looking at each; a moment's approximation.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn flow_count(&self) -> Result<u64, Error> {
        let mut slots = 0;
        batch::for_each_index(&self.regions, |_, region: Region| slots += u64::from(region.live))
            .map_err(failed("the flow table"))?;
        Ok(slots / 2)
    }

    /// Copies of all live slots: each flow comes twice, once per direction.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn flows(&self) -> Result<impl Iterator<Item = Flow>, Error> {
        let mut regions = Vec::new();
        batch::for_each_index(&self.regions, |index, region: Region| {
            if region.live > 0 {
                regions.push(index);
            }
        })
        .map_err(failed("the flow table"))?;
        Ok(self.flow_table.live(regions))
    }
}

fn failed(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Read { what, source }
}
