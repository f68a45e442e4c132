//! Resetting a datapath, or the counters of some endpoints and targets.

use std::collections::BTreeSet;

use aya::{
    Pod,
    maps::{Array, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues},
    util::nr_cpus,
};
use privatelink_common::{
    DropKey, EndpointCounters, Meter, Reason, TargetCounters,
    flow::{REGION_SLOTS, Region, Slot},
    fragment::{self, Fragmented},
    maps,
    share::Occupancy,
};

use super::{batch, error::Error, loaded::Datapath, maps::Maps};

impl Datapath {
    /// Empties the flow table, the table of fragments, and the counters of these endpoints and
    /// targets. For tests, so that they need not load the programs again; no packet may pass
    /// meanwhile.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn forget(&self, endpoints: &[u32], targets: &[u32]) -> Result<(), Error> {
        let regions = 0..self.regions();
        let slots = 0..self.regions() * REGION_SLOTS;
        clear::<[u8; size_of::<Slot>()]>(&self.maps, maps::SLOTS, slots)?;
        clear::<[u8; size_of::<Region>()]>(&self.maps, maps::REGIONS, regions)?;
        clear::<[u8; size_of::<Meter>()]>(&self.maps, maps::METERS, endpoints.iter().copied())?;
        clear::<[u8; size_of::<Occupancy>()]>(&self.maps, maps::OCCUPANCY, 0..1)?;
        self.forget_blocks()?;
        let fragments = 0..fragment::ENTRIES;
        clear::<[u8; size_of::<Fragmented>()]>(&self.maps, maps::FRAGMENTS, fragments)?;
        self.forget_counts(endpoints, targets)?;
        clear_per_cpu(&self.maps, maps::DROPS, 0..Reason::ALL.len() as u32, 0_u64)?;
        drop((self.ends(), self.refusals()));
        Ok(())
    }

    /// Zeroes the counters of these endpoints and targets, because their indices are about to be
    /// reused for others.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn forget_counts(&self, endpoints: &[u32], targets: &[u32]) -> Result<(), Error> {
        let all = || endpoints.iter().copied();
        let zero = EndpointCounters::default();
        clear_per_cpu(&self.maps, maps::ENDPOINT_COUNTERS, all(), zero)?;
        let zero = TargetCounters::default();
        clear_per_cpu(&self.maps, maps::TARGET_COUNTERS, targets.iter().copied(), zero)?;
        clear::<[u8; size_of::<u64>()]>(&self.maps, maps::PATHS, all())?;
        if !endpoints.is_empty() {
            self.forget_drops(&all().collect())?;
        }
        Ok(())
    }

    /// Frees the blocks of ports that are in use.
    fn forget_blocks(&self) -> Result<(), Error> {
        let mut blocks: Array<MapData, u64> = typed(&self.maps, maps::PORT_BLOCKS)?;
        let failed = Error::load(maps::PORT_BLOCKS);
        let mut used = Vec::new();
        let block = |index, block: u64| {
            if block != 0 {
                used.push(index);
            }
        };
        batch::for_each_index(self.maps.get(maps::PORT_BLOCKS)?, block).map_err(failed)?;
        for index in used {
            blocks.set(index, 0, 0).map_err(Error::load(maps::PORT_BLOCKS))?;
        }
        Ok(())
    }

    fn forget_drops(&self, endpoints: &BTreeSet<u32>) -> Result<(), Error> {
        let mut drops: PerCpuHashMap<MapData, DropKey, u64> =
            typed(&self.maps, maps::ENDPOINT_DROPS)?;
        let keys = drops.keys().filter_map(Result::ok);
        let keys: Vec<DropKey> = keys.filter(|key| endpoints.contains(&key.endpoint)).collect();
        for key in keys {
            drops.remove(&key).map_err(Error::load(maps::ENDPOINT_DROPS))?;
        }
        Ok(())
    }
}

fn clear<V: Pod + Zero>(
    opened: &Maps,
    map: &'static str,
    indices: impl Iterator<Item = u32>,
) -> Result<(), Error> {
    let mut array: Array<MapData, V> = typed(opened, map)?;
    for index in indices {
        array.set(index, V::ZERO, 0).map_err(Error::load(map))?;
    }
    Ok(())
}

fn clear_per_cpu<V: Pod>(
    opened: &Maps,
    map: &'static str,
    indices: impl Iterator<Item = u32>,
    zero: V,
) -> Result<(), Error> {
    let mut array: PerCpuArray<MapData, V> = typed(opened, map)?;
    let cpus = nr_cpus().map_err(|(_, error)| Error::load(map)(error))?;
    for index in indices {
        let values = PerCpuValues::try_from(vec![zero; cpus]).map_err(Error::load(map))?;
        array.set(index, values, 0).map_err(Error::load(map))?;
    }
    Ok(())
}

fn typed<M: TryFrom<Map, Error = MapError>>(opened: &Maps, map: &'static str) -> Result<M, Error> {
    Map::from_map_data(opened.duplicate(map)?).and_then(M::try_from).map_err(Error::load(map))
}

/// Bytes that are all zero.
trait Zero {
    const ZERO: Self;
}

impl<const N: usize> Zero for [u8; N] {
    const ZERO: Self = [0; N];
}
