//! What the programs count, and the flows that they hold.

use std::collections::BTreeMap;

use aya::maps::{Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use privatelink_common::flow::{Flow, Region};
use privatelink_common::{DropKey, EndpointCounters, Reason, Sampling, TargetCounters, maps};

use super::error::Error;
use super::maps::Maps;
use super::{Datapath, batch};
use crate::store::StoreError;

/// The per-CPU counters, open.
pub(super) struct Counters {
    endpoints: PerCpuArray<MapData, EndpointCounters>,
    targets: PerCpuArray<MapData, TargetCounters>,
    drops: PerCpuArray<MapData, u64>,
    endpoint_drops: PerCpuHashMap<MapData, DropKey, u64>,
    ends_lost: PerCpuArray<MapData, u64>,
    sampling: PerCpuArray<MapData, Sampling>,
}

impl Counters {
    pub(super) fn open(opened: &Maps) -> Result<Self, StoreError> {
        Ok(Self {
            endpoints: typed(opened, maps::ENDPOINT_COUNTERS)?,
            targets: typed(opened, maps::TARGET_COUNTERS)?,
            drops: typed(opened, maps::DROPS)?,
            endpoint_drops: typed(opened, maps::ENDPOINT_DROPS)?,
            ends_lost: typed(opened, maps::ENDS_LOST)?,
            sampling: typed(opened, maps::SAMPLING)?,
        })
    }
}

fn typed<M: TryFrom<Map, Error = MapError>>(
    opened: &Maps,
    map: &'static str,
) -> Result<M, StoreError> {
    let data = opened.duplicate(map)?;
    Map::from_map_data(data)
        .and_then(M::try_from)
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
            Ok(per_cpu.iter().copied().sum())
        };
        endpoints.iter().map(one).collect()
    }

    /// How targets do, over all CPUs, in the order of `targets`.
    ///
    /// # Errors
    /// When an index is out of range, or the map cannot be read.
    pub fn target_counters(&self, targets: &[u32]) -> Result<Vec<TargetCounters>, Error> {
        let one = |target| {
            let per_cpu = self.counters.targets.get(target, 0).map_err(read("the counters"))?;
            Ok(per_cpu.iter().copied().sum())
        };
        targets.iter().map(one).collect()
    }

    /// How many packets endpoints have not forwarded, by endpoint index and reason, over all CPUs.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn endpoint_drops(&self) -> Result<BTreeMap<u32, BTreeMap<Reason, u64>>, Error> {
        let mut drops = BTreeMap::<u32, BTreeMap<Reason, u64>>::new();
        for entry in self.counters.endpoint_drops.iter() {
            let (key, per_cpu) = entry.map_err(read("the drop counters"))?;
            if let Some(reason) = Reason::of(key.reason) {
                drops.entry(key.endpoint).or_default().insert(reason, total(&per_cpu));
            }
        }
        Ok(drops)
    }

    /// How many flows ended without the daemon being told, since it did not listen.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn ends_lost(&self) -> Result<u64, Error> {
        let per_cpu = self.counters.ends_lost.get(&0, 0).map_err(read("the counters"))?;
        Ok(total(&per_cpu))
    }

    /// How many refused flows the daemon was not told of, since they were too many.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn refusals_left_out(&self) -> Result<u64, Error> {
        let per_cpu = self.counters.sampling.get(&0, 0).map_err(read("the counters"))?;
        Ok(per_cpu.iter().fold(0, |sum, sampling| sum.wrapping_add(sampling.left_out)))
    }

    /// How many packets were not forwarded, by reason, over all CPUs.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn drops(&self) -> Result<Vec<(Reason, u64)>, Error> {
        let one = |(index, reason): (u32, &Reason)| {
            let per_cpu = self.counters.drops.get(&index, 0).map_err(read("the drop counters"))?;
            Ok((*reason, total(&per_cpu)))
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

/// A count over all CPUs.
fn total(per_cpu: &PerCpuValues<u64>) -> u64 {
    per_cpu.iter().fold(0, |sum, count| sum.wrapping_add(*count))
}

fn read(what: &'static str) -> impl FnOnce(MapError) -> Error {
    move |error| Error::Read { what, source: std::io::Error::other(error) }
}
