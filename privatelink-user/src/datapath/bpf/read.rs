//! Reading the counters and the flow table.

use std::{collections::BTreeMap, io};

use aya::maps::MapData;
use privatelink_common::{
    DropKey, EndpointCounters, Meter, Reason, Sampling, TargetCounters,
    flow::{Flow, Region},
    maps,
    share::{BLOCK_PORTS, BLOCKS, Block},
};

use super::{batch, error::Error, flows::FlowTable, mapping::Mapping, maps::Maps};

/// Reads counters and flows. Threads may share it: it takes no lock, and no packet waits for it.
#[derive(Debug)]
pub struct Reader {
    endpoints: MapData,
    targets: MapData,
    drops: MapData,
    endpoint_drops: MapData,
    ends_lost: MapData,
    sampling: MapData,
    errors: MapData,
    regions: MapData,
    meters: Mapping,
    port_blocks: Mapping,
    flow_table: FlowTable,
}

impl Reader {
    pub(super) fn open(opened: &Maps) -> Result<Self, Error> {
        Ok(Self {
            endpoints: opened.duplicate(maps::ENDPOINT_COUNTERS)?,
            targets: opened.duplicate(maps::TARGET_COUNTERS)?,
            drops: opened.duplicate(maps::DROPS)?,
            endpoint_drops: opened.duplicate(maps::ENDPOINT_DROPS)?,
            ends_lost: opened.duplicate(maps::ENDS_LOST)?,
            sampling: opened.duplicate(maps::SAMPLING)?,
            errors: opened.duplicate(maps::ERRORS)?,
            regions: opened.duplicate(maps::REGIONS)?,
            meters: Mapping::of::<Meter>(opened.get(maps::METERS)?).map_err(failed(COUNTERS))?,
            port_blocks: Mapping::of::<u64>(opened.get(maps::PORT_BLOCKS)?)
                .map_err(failed(COUNTERS))?,
            flow_table: FlowTable::map(opened.get(maps::SLOTS)?).map_err(failed(FLOW_TABLE))?,
        })
    }

    /// The counters of endpoints, summed over all CPUs, in the order of `endpoints`.
    ///
    /// # Errors
    /// When an index is out of range, or the map cannot be read.
    pub fn counters(&self, endpoints: &[u32]) -> Result<Vec<EndpointCounters>, Error> {
        batch::sums(&self.endpoints, endpoints).map_err(failed(COUNTERS))
    }

    /// How many flows endpoints have now, in the order of `endpoints`.
    pub fn active_flows(&self, endpoints: &[u32]) -> Vec<u64> {
        let meters = endpoints.iter().map(|endpoint| self.meters.value(*endpoint));
        meters.map(|meter: Option<Meter>| meter.map_or(0, |meter| meter.flows.into())).collect()
    }

    /// How many source ports endpoints have now, by endpoint index and table of blocks: all ports of
    /// the blocks in which they have flows.
    pub fn source_ports(&self) -> BTreeMap<(u32, u32), u64> {
        let mut ports = BTreeMap::<(u32, u32), u64>::new();
        let used = (0..).zip(self.port_blocks.iter::<u64>()).filter(|(_, word)| *word != 0);
        for (number, word) in used {
            let block = Block(word);
            if block.flows() != 0 {
                let table: u32 = number / BLOCKS;
                *ports.entry((block.owner(), table)).or_default() += u64::from(BLOCK_PORTS);
            }
        }
        ports
    }

    /// The counters of targets, summed over all CPUs, in the order of `targets`.
    ///
    /// # Errors
    /// When an index is out of range, or the map cannot be read.
    pub fn target_counters(&self, targets: &[u32]) -> Result<Vec<TargetCounters>, Error> {
        batch::sums(&self.targets, targets).map_err(failed(COUNTERS))
    }

    /// How many packets endpoints have not forwarded, by endpoint index and reason, over all CPUs.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn endpoint_drops(&self) -> Result<BTreeMap<u32, BTreeMap<Reason, u64>>, Error> {
        let mut drops = BTreeMap::<u32, BTreeMap<Reason, u64>>::new();
        batch::for_each_sum(&self.endpoint_drops, |key: DropKey, count: u64| {
            if let Some(reason) = Reason::of(key.reason) {
                drops.entry(key.endpoint).or_default().insert(reason, count);
            }
        })
        .map_err(failed(DROPS))?;
        Ok(drops)
    }

    /// How many flow ends the daemon did not get because the ring was full.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn ends_lost(&self) -> Result<u64, Error> {
        let lost: Vec<u64> = batch::sums(&self.ends_lost, &[0]).map_err(failed(COUNTERS))?;
        Ok(lost.into_iter().sum())
    }

    /// How many refused flows were not reported to the daemon because of the rate limit.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn refusals_left_out(&self) -> Result<u64, Error> {
        left_out(&self.sampling, maps::MAX_SAMPLED as usize)
    }

    /// How many ICMP errors were not sent because of the rate limit.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn errors_left_out(&self) -> Result<u64, Error> {
        left_out(&self.errors, maps::MAX_ERRORS as usize)
    }

    /// How many packets were not forwarded, by reason, over all CPUs.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn drops(&self) -> Result<Vec<(Reason, u64)>, Error> {
        let indices: Vec<u32> = Reason::ALL.iter().map(|reason| *reason as u32).collect();
        let sums = batch::sums(&self.drops, &indices).map_err(failed(DROPS))?;
        Ok(Reason::ALL.iter().copied().zip(sums).collect())
    }

    /// Copies of all live slots: each flow is in two of them, one per direction.
    ///
    /// Their age is the difference between [`Datapath::now_ticks`](super::Datapath::now_ticks) and [`Flow::last_seen`].
    pub fn flows(&self) -> impl Iterator<Item = Flow> {
        let every = || (0..self.flow_table.regions()).collect();
        self.flow_table.live(self.regions_in_use().unwrap_or_else(|_| every()))
    }

    /// The regions that hold any slot: of a large table, most hold none.
    fn regions_in_use(&self) -> Result<Vec<u32>, Error> {
        let mut found = Vec::new();
        batch::for_each_index(&self.regions, |index, region: Region| {
            if region.live > 0 {
                found.push(index);
            }
        })
        .map_err(failed(FLOW_TABLE))?;
        Ok(found)
    }

    /// How many flows there are, without looking at each; a moment's approximation.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn flow_count(&self) -> Result<u64, Error> {
        let mut slots = 0;
        batch::for_each_index(&self.regions, |_, region: Region| slots += u64::from(region.live))
            .map_err(failed(FLOW_TABLE))?;
        Ok(slots / 2)
    }
}

const COUNTERS: &str = "the counters";
const DROPS: &str = "the drop counters";
const FLOW_TABLE: &str = "the flow table";

/// What all CPUs have left out, according to a map of [`Sampling`]s.
fn left_out(map: &MapData, entries: usize) -> Result<u64, Error> {
    let mut left_out = 0;
    batch::for_each_of(map, entries, |_: u32, cpus: &[Sampling]| {
        left_out += cpus.iter().map(|cpu| cpu.left_out).sum::<u64>();
    })
    .map_err(failed(COUNTERS))?;
    Ok(left_out)
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Read { what, source }
}
