//! What the programs count, and the flows that they hold.

use aya::maps::{Map, MapData, PerCpuArray};
use privatelink_common::flow::{Flow, Region};
use privatelink_common::{EndpointCounters, Reason, maps};

use super::error::Error;
use super::maps::Maps;
use super::{Datapath, batch};
use crate::store::StoreError;

/// The per-CPU counters, open.
pub(super) struct Counters {
    endpoints: PerCpuArray<MapData, EndpointCounters>,
    drops: PerCpuArray<MapData, u64>,
}

impl Counters {
    pub(super) fn open(opened: &Maps) -> Result<Self, StoreError> {
        Ok(Self {
            endpoints: per_cpu(opened, maps::ENDPOINT_COUNTERS)?,
            drops: per_cpu(opened, maps::DROPS)?,
        })
    }
}

fn per_cpu<V: aya::Pod>(
    opened: &Maps,
    map: &'static str,
) -> Result<PerCpuArray<MapData, V>, StoreError> {
    let data = opened.duplicate(map)?;
    Map::from_map_data(data)
        .and_then(PerCpuArray::try_from)
        .map_err(|error| StoreError::Mismatch { map, source: Box::new(error) })
}

impl Datapath {
    /// What went through endpoints, over all CPUs, in the order of `endpoints`.
    ///
    /// # Errors
    /// When an index is out of range, or the map cannot be read.
    pub fn counters(&self, endpoints: &[u32]) -> Result<Vec<EndpointCounters>, Error> {
        let one = |endpoint| {
            let per_cpu = self.counters.endpoints.get(endpoint, 0).map_err(read("the counters"))?;
            Ok(per_cpu.iter().fold(EndpointCounters::default(), sum))
        };
        endpoints.iter().map(one).collect()
    }

    /// How many packets were not forwarded, by reason, over all CPUs.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn drops(&self) -> Result<Vec<(Reason, u64)>, Error> {
        let one = |(index, reason): (u32, &Reason)| {
            let per_cpu = self.counters.drops.get(&index, 0).map_err(read("the drop counters"))?;
            Ok((*reason, per_cpu.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count))))
        };
        (0..).zip(Reason::ALL).map(one).collect()
    }

    /// Copies of all live slots: each flow comes twice, once per direction.
    ///
    /// Their ages are the difference between [`now_ticks`](Self::now_ticks) and
    /// [`Flow::last_seen`].
    pub fn flows(&self) -> impl Iterator<Item = Flow> {
        self.flow_table.live(self.regions_in_use().unwrap_or_else(|_| (0..self.regions).collect()))
    }

    /// The regions that hold any slot: of a large table, most hold none.
    fn regions_in_use(&self) -> Result<Vec<u32>, Error> {
        let mut found = Vec::new();
        batch::for_each_index(self.maps.get(maps::REGIONS)?, |index, region: Region| {
            if region.live > 0 {
                found.push(index);
            }
        })
        .map_err(|source| Error::Read { what: "the flow table", source })?;
        Ok(found)
    }

    /// How many flows there are, without looking at each; a moment's approximation.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn flow_count(&self) -> Result<u64, Error> {
        let map = self.maps.get(maps::REGIONS)?;
        let mut slots = 0;
        batch::for_each_index(map, |_, region: Region| slots += u64::from(region.live))
            .map_err(|source| Error::Read { what: "the flow table", source })?;
        Ok(slots / 2)
    }
}

fn read(what: &'static str) -> impl FnOnce(aya::maps::MapError) -> Error {
    move |error| Error::Read { what, source: std::io::Error::other(error) }
}

fn sum(mut sum: EndpointCounters, cpu: &EndpointCounters) -> EndpointCounters {
    for (total, count) in [
        (&mut sum.packets_in, cpu.packets_in),
        (&mut sum.bytes_in, cpu.bytes_in),
        (&mut sum.packets_out, cpu.packets_out),
        (&mut sum.bytes_out, cpu.bytes_out),
        (&mut sum.new_flows, cpu.new_flows),
        (&mut sum.drops, cpu.drops),
    ] {
        *total = total.wrapping_add(count);
    }
    sum
}
