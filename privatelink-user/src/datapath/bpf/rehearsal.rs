//! The programs once more, for frames that must leave no trace.
//!
//! A frame that the live programs judge would take a slot and a port, spend limits, and be counted.
//! So these are loaded beside them: they read the live maps of what is configured, and have maps of
//! their own for all that packets change. What a limit has spent, how full the table is and whose
//! ports are is copied before each frame. They are attached to nothing, and go with this value.

use std::{collections::BTreeSet, path::Path};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, Map, MapData},
    programs::{TestRun, TestRunOptions, Xdp},
};
use privatelink_common::{
    FLOW_LAYOUT_VERSION, LAYOUT_VERSION, Meter, Reason, Stage,
    flow::{Flow, REGION_SLOTS, Region},
    hash::HashKeys,
    maps::{
        ATTACHMENTS, BACKENDS, DEADLINES, DEVICES, DROPS, ENDPOINT_COUNTERS, ENDPOINT_DROPS,
        ENDPOINTS, ENDS, FRAGMENTS, LIMITS, LISTENERS, LOCALS, METERS, NETWORKS, OCCUPANCY, PATHS,
        PORT_BLOCKS, PROGRAM, REFUSALS, REGIONS, RULES, SENDERS, SERVICES, SHARES, SLOTS, SOURCES,
        STAGES, TAGGED, TARGET_COUNTERS, TARGETS,
    },
    share::{BLOCK_PORTS, BLOCK_TABLES, BLOCKS, Block, Occupancy},
};

use super::{
    batch,
    error::Error,
    flows,
    loaded::{BPF_OBJECT, load_program, no_program},
    mapping::Mapping,
    maps::Maps,
    run::{GROWTH, failure},
    settings::{self, Settings},
    sys,
};

/// The maps that the live programs only read, or that no frame of a rehearsal changes.
const SHARED: [&str; 16] = [
    ATTACHMENTS,
    TAGGED,
    LOCALS,
    NETWORKS,
    SENDERS,
    ENDPOINTS,
    RULES,
    LIMITS,
    SHARES,
    PATHS,
    SERVICES,
    LISTENERS,
    BACKENDS,
    TARGETS,
    SOURCES,
    DEVICES,
];

/// Maps that are not read here, with as few entries as the kernel allows.
const UNREAD: [(&str, u32); 7] = [
    (ENDPOINT_COUNTERS, 1),
    (TARGET_COUNTERS, 1),
    (ENDPOINT_DROPS, 1),
    (DEADLINES, 1),
    (FRAGMENTS, 1),
    (ENDS, 4_096),
    (REFUSALS, 4_096),
];

/// Source addresses of a service whose ports are looked at.
const MOST_TABLES: usize = 16;
/// A block with as many flows as it counts: no endpoint finds a port there.
const FULL: u64 = 0x007f_ffff * Block::ONE_MORE;

/// What the programs return for a frame that goes out by an interface, and for one that is not
/// theirs.
const REDIRECT: u32 = 4;
const PASS: u32 = 2;

/// The programs, attached to nothing.
pub struct Rehearsal {
    ebpf: Ebpf,
    /// The kernel empties the map of the stages once no process has it open.
    _maps: Maps,
    /// Maps of its own that packets change.
    slots: Array<MapData, Flow>,
    regions: Array<MapData, Region>,
    meters: Array<MapData, Meter>,
    occupancy: Array<MapData, Occupancy>,
    blocks: Array<MapData, u64>,
    known_blocks: Mapping,
    drops: MapData,
    /// Those of the live programs.
    live_meters: Array<MapData, Meter>,
    live_occupancy: Array<MapData, Occupancy>,
    live_blocks: Mapping,
    /// What is copied before each frame: of which endpoint, and what.
    copied: (u32, Meter, Occupancy),
}

/// What the programs decide about a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is forwarded, as this frame.
    Forwarded(Vec<u8>),
    /// It is refused.
    Refused(Reason),
    /// They do not take it for a frame to or from an endpoint.
    Foreign,
}

/// Whose frames are rehearsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Index of the endpoint.
    pub endpoint: u32,
    /// The tables of blocks of the service's source addresses.
    pub blocks: BTreeSet<u32>,
    /// How many targets share a port: each port can lead to each of them.
    pub targets: u32,
}

impl Rehearsal {
    /// Loads the programs on the maps that are pinned in `pin_dir`, whose flow table is for
    /// `max_flows`.
    ///
    /// # Errors
    /// When a map is not pinned there, is of another release, or when the kernel refuses the
    /// programs.
    pub fn load(pin_dir: &Path, max_flows: u32) -> Result<Self, Error> {
        let regions: u32 = 1;
        let mut loader = EbpfLoader::new();
        let jiffy = flows::jiffy_nanos().map_err(Error::load("clock"))?;
        let keys: HashKeys = settings::random_keys().map_err(Error::load("keys of the hash"))?;
        loader.override_global("JIFFY_NANOS", &jiffy, true);
        loader.override_global("MAX_FLOWS", &max_flows, true);
        loader.override_global("REGION_COUNT", &regions, true);
        loader.override_global("HASH_KEYS", &keys.0, true);
        for (map, entries) in UNREAD.into_iter().chain([(SLOTS, REGION_SLOTS), (REGIONS, regions)])
        {
            loader.map_max_entries(map, entries);
        }
        check(pin_dir)?;
        for map in SHARED {
            loader.map_pin_path(map, pin_dir.join(map));
        }
        let mut ebpf = loader.load(BPF_OBJECT).map_err(Error::load("maps"))?;
        load_program(&mut ebpf, PROGRAM)?;
        let mut stages = Vec::new();
        for stage in Stage::ALL {
            stages.push((*stage, load_program(&mut ebpf, stage.program())?));
        }
        let maps = Maps::take(&mut ebpf)?;
        for (stage, program) in &stages {
            maps.enter_stage(STAGES, *stage, program)?;
        }
        let pinned = |name: &str| MapData::from_pin(pin_dir.join(name)).map_err(Error::load("pin"));
        let blocks = |map: &MapData| Mapping::of::<u64>(map).map_err(Error::load("blocks"));
        Ok(Self {
            ebpf,
            slots: array(maps.duplicate(SLOTS)?)?,
            regions: array(maps.duplicate(REGIONS)?)?,
            meters: array(maps.duplicate(METERS)?)?,
            occupancy: array(maps.duplicate(OCCUPANCY)?)?,
            blocks: array(maps.duplicate(PORT_BLOCKS)?)?,
            known_blocks: blocks(maps.get(PORT_BLOCKS)?)?,
            drops: maps.duplicate(DROPS)?,
            live_meters: array(pinned(METERS)?)?,
            live_occupancy: array(pinned(OCCUPANCY)?)?,
            live_blocks: blocks(&pinned(PORT_BLOCKS)?)?,
            copied: (0, Meter::default(), Occupancy::default()),
            _maps: maps,
        })
    }

    /// Copies what the live programs have counted for an endpoint, so that its frames meet the
    /// limits, the room and the ports that a packet of its would meet now.
    ///
    /// # Errors
    /// When a map cannot be read or written.
    pub fn follow(&mut self, account: &Account) -> Result<(), Error> {
        let meter = self.live_meters.get(&account.endpoint, 0).map_err(Error::load(METERS))?;
        let occupancy = self.live_occupancy.get(&0, 0).map_err(Error::load(OCCUPANCY))?;
        self.copied = (account.endpoint, meter, occupancy);
        for table in account.blocks.iter().take(MOST_TABLES) {
            for number in 0..BLOCKS {
                self.copy_block(table % BLOCK_TABLES * BLOCKS + number, account.targets)?;
            }
        }
        Ok(())
    }

    /// Copies a block. The table of a rehearsal does not have the flows in it, so one in which all
    /// ports are in use towards all targets is made one in which no endpoint finds a port.
    fn copy_block(&mut self, index: u32, targets: u32) -> Result<(), Error> {
        let Some(live) = self.live_blocks.value::<u64>(index) else { return Ok(()) };
        let in_use = Block(live).flows() >= BLOCK_PORTS.saturating_mul(targets.max(1));
        let wanted = if in_use { FULL } else { live };
        if self.known_blocks.value::<u64>(index) == Some(wanted) {
            return Ok(());
        }
        self.blocks.set(index, wanted, 0).map_err(Error::load(PORT_BLOCKS))
    }

    /// Forgets what earlier frames have opened.
    ///
    /// # Errors
    /// When a map cannot be written.
    pub fn begin_anew(&mut self) -> Result<(), Error> {
        for index in 0..REGION_SLOTS {
            self.slots.set(index, Flow::default(), 0).map_err(Error::load(SLOTS))?;
        }
        self.regions.set(0, Region::default(), 0).map_err(Error::load(REGIONS))?;
        self.restore_limits()?;
        let (.., occupancy) = self.copied;
        self.occupancy.set(0, occupancy, 0).map_err(Error::load(OCCUPANCY))
    }

    /// Gives back what earlier frames have spent of limits: on a network, time passes between the
    /// packets of a flow.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub fn restore_limits(&mut self) -> Result<(), Error> {
        let (endpoint, meter, _) = self.copied;
        self.meters.set(endpoint, meter, 0).map_err(Error::load(METERS))
    }

    /// Runs the programs on a frame that arrives on an interface of the calling thread's network
    /// namespace. It goes nowhere.
    ///
    /// # Errors
    /// When the kernel refuses: no such interface, or too long or too short a frame.
    pub fn judge(&mut self, ifindex: u32, frame: &[u8]) -> Result<Ruling, Error> {
        let before = self.refused()?;
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let context = [0, length, 0, ifindex, 0, 0].map(u32::to_ne_bytes);
        let mut out = vec![0; frame.len() + GROWTH];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(context.as_flattened());
        let program = self.ebpf.program(PROGRAM).and_then(|program| program.try_into().ok());
        let program: &Xdp = program.ok_or_else(|| no_program(PROGRAM))?;
        let result = program.test_run(options).map_err(failure(frame))?;
        out.truncate(result.data_size_out as usize);
        let after = self.refused()?;
        let counted = before.iter().zip(&after).zip(Reason::ALL).find(|((a, b), _)| a != b);
        Ok(match (counted, result.return_value) {
            (Some((_, reason)), _) => Ruling::Refused(*reason),
            (None, REDIRECT) => Ruling::Forwarded(out),
            (None, PASS) => Ruling::Foreign,
            (None, _) => Ruling::Refused(Reason::Internal),
        })
    }

    /// How many frames were refused, by reason.
    fn refused(&self) -> Result<Vec<u64>, Error> {
        let indices: Vec<u32> = Reason::ALL.iter().map(|reason| *reason as u32).collect();
        batch::sums(&self.drops, &indices)
            .map_err(|source| Error::Read { what: "the counters of a rehearsal", source })
    }
}

/// Checks that all maps are pinned that are to be shared, and with this release's layout: the
/// library takes whatever it finds, and makes and pins what it does not find.
fn check(pin_dir: &Path) -> Result<(), Error> {
    let path = pin_dir.join(settings::NAME);
    let known = sys::open(&path).map_err(Error::path("open", &path))?;
    let ours = Settings::read(known).is_some_and(|known| {
        (known.version, known.flow_version) == (LAYOUT_VERSION, FLOW_LAYOUT_VERSION)
    });
    if !ours {
        return Err(Error::Object {
            what: "its maps have another layout than those pinned".into(),
        });
    }
    for map in SHARED {
        let path = pin_dir.join(map);
        sys::open(&path).map_err(Error::path("open", &path))?;
    }
    Ok(())
}

fn array<V: Pod>(map: MapData) -> Result<Array<MapData, V>, Error> {
    Map::from_map_data(map).and_then(Array::try_from).map_err(Error::load("array"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_finds_a_port_in_a_full_block() {
        for endpoint in [0, 1, 7, 0xffff] {
            for at_home in [true, false] {
                assert!(!Block(FULL).takes(endpoint, 1, at_home, 1_000_000), "{endpoint}");
            }
        }
    }
}
