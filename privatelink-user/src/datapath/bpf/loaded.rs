//! The object in the kernel: loading it on pinned maps or on new ones, and running its programs.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, RingBuf},
    programs::{ProgramFd, SchedClassifier, Xdp},
};
use nix::fcntl::Flock;
use privatelink_common::{
    End, RefusedFlow, Sampling, Stage,
    flow::regions_for,
    hash::HashKeys,
    maps::{
        ADOPT_PROGRAM, CLOCK_PROGRAM, ENDS, PROGRAM, REFUSALS, STAGES, SWEEP_PROGRAM, SWEEP_RANGE,
        SWEEP_WORDS, TC_PROGRAM, TC_STAGES,
    },
};

use zerocopy::FromBytes;

use super::{
    error::Error,
    fdinfo, flows,
    maps::{self, Maps},
    mode::Mode,
    pins::{Pins, Removed},
    predecessor::Predecessor,
    read::Reader,
    settings::{Adoption, Settings},
    store::Kernel,
    turns,
};

/// The compiled programs.
pub static BPF_OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/privatelink.bpf.o"));

/// The loaded programs and their maps.
///
/// Dropping it leaves everything that is pinned as it is: packets are forwarded without it.
pub struct Datapath {
    pub(super) ebpf: Ebpf,
    pub(super) program: ProgramFd,
    pub(super) tc_program: ProgramFd,
    /// Ids of the two.
    pub(super) program_ids: [u32; 2],
    pub(super) maps: Maps,
    reader: Arc<Reader>,
    ends: Mutex<RingBuf<MapData>>,
    refusals: Mutex<RingBuf<MapData>>,
    pub(super) pins: Option<Held>,
    /// The flow table that this one replaces.
    pub(super) before: Option<Predecessor>,
    pub(super) regions: u32,
    /// Attachments that are not pinned: they end with their descriptor.
    pub(super) links: Mutex<Vec<HeldLink>>,
}

/// An attachment that is not pinned.
pub(super) struct HeldLink {
    pub(super) ifindex: u32,
    pub(super) mode: Mode,
    pub(super) _link: OwnedFd,
}

/// A pin directory that is locked until this is dropped.
pub(super) struct Held {
    pub(super) pins: Pins,
    pub(super) _lock: Flock<File>,
}

/// The kernel runs a program on no shorter packet.
const SMALLEST_FRAME: usize = 14;

impl Datapath {
    /// Loads the programs with maps of their own that vanish with the result; for measurements
    /// and tests. Without `keys`, the hash gets random keys. The rate of ICMP errors is not
    /// limited, because tests cause more of them than a network does.
    ///
    /// # Errors
    /// When the kernel refuses the object.
    pub fn unpinned(max_flows: u32, keys: Option<[u32; HashKeys::LEN]>) -> Result<Self, Error> {
        let settings = Settings::new(regions_for(max_flows), keys.map(HashKeys))
            .map_err(Error::load("keys of the hash"))?;
        Self::load(&settings, max_flows, None)
    }

    /// Detaches everything, unpins it and removes `pin_dir`; says what that was. Needs no daemon and
    /// no object; what is gone already is not an error.
    ///
    /// # Errors
    /// When the kernel refuses, or when an object of another program remains in the directory.
    pub fn down(pin_dir: &Path) -> Result<Removed, Error> {
        Pins::at(pin_dir).remove_all()
    }

    /// The time as the programs see it, in ticks: what [`Flow::last_seen`] is compared with.
    ///
    /// # Errors
    /// When the kernel does not run the program that reads the clock.
    ///
    /// [`Flow::last_seen`]: privatelink_common::flow::Flow::last_seen
    pub fn now_ticks(&self) -> Result<u32, Error> {
        self.run_classifier(CLOCK_PROGRAM, &[0; SMALLEST_FRAME])
    }

    /// Ends those flows of some regions of the flow table that have been idle for too long or may
    /// not continue, and returns them. Security rules are asked only `with_rules`. Regions beyond
    /// the last are ignored.
    ///
    /// # Errors
    /// When the kernel does not run the program that sweeps.
    pub fn sweep(&self, first: u32, regions: u32, with_rules: bool) -> Result<Vec<End>, Error> {
        self.run_sweep([first, regions, with_rules.into(), 0, 0])
    }

    /// Sweeps as [`sweep`](Self::sweep) does, and lets the kernel do so, and obey the deadlines of
    /// endpoints below the index `endpoints`, from a moment after the last call on.
    ///
    /// # Errors
    /// As [`sweep`](Self::sweep).
    pub fn sweep_and_watch(
        &self,
        first: u32,
        regions: u32,
        with_rules: bool,
        endpoints: u32,
    ) -> Result<Vec<End>, Error> {
        let step = turns::step(self.regions, endpoints);
        self.run_sweep([first, regions, with_rules.into(), endpoints, step])
    }

    fn run_sweep(&self, words: [u32; SWEEP_WORDS]) -> Result<Vec<End>, Error> {
        let mut packet = [0; SWEEP_RANGE + 4 * SWEEP_WORDS];
        let (_, range) = packet.split_at_mut(SWEEP_RANGE);
        range.copy_from_slice(words.map(u32::to_ne_bytes).as_flattened());
        self.run_classifier(SWEEP_PROGRAM, &packet)?;
        Ok(self.ends())
    }

    /// Takes the ends of flows that sweeps have put into the ring.
    pub(super) fn ends(&self) -> Vec<End> {
        drain(&self.ends)
    }

    /// Takes the refused flows that the programs have reported since the last call.
    pub fn refusals(&self) -> Vec<RefusedFlow> {
        drain(&self.refusals)
    }

    /// How many regions the flow table has.
    pub fn regions(&self) -> u32 {
        self.regions
    }

    /// The maps that the daemon writes.
    ///
    /// # Errors
    /// When the process has too many open files.
    pub fn store(&self) -> Result<Kernel, Error> {
        Ok(Kernel::of(&self.maps)?)
    }

    /// What reads counters and flows.
    pub fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// The XDP program, for callers that run it themselves.
    pub fn program_fd(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// Loads the object: on pinned maps where `adopted` keeps them, else on new ones that are
    /// not pinned yet.
    pub(super) fn load(
        settings: &Settings,
        max_flows: u32,
        adopted: Option<(&Pins, &Adoption)>,
    ) -> Result<Self, Error> {
        let mut loader = EbpfLoader::new();
        let jiffy = flows::jiffy_nanos().map_err(Error::load("clock"))?;
        loader.override_global("JIFFY_NANOS", &jiffy, true);
        loader.override_global("MAX_FLOWS", &max_flows, true);
        let turn = u64::try_from(turns::turn(settings.regions).as_nanos()).unwrap_or(u64::MAX);
        loader.override_global("WATCH_NANOS", &turn, true);
        loader.override_global("REGION_COUNT", &settings.regions, true).override_global(
            "HASH_KEYS",
            &settings.keys.0,
            true,
        );
        for (map, entries) in maps::sized(settings.regions) {
            loader.map_max_entries(map, entries);
        }
        if let Some((pins, adoption)) = adopted {
            loader.override_global("ERRORS_PER_TICK", &Sampling::ERRORS, true);
            for map in &adoption.kept {
                loader.map_pin_path(map, pins.path(map));
            }
        }
        let mut ebpf = loader.load(BPF_OBJECT).map_err(Error::load("maps"))?;
        let (program, tc_program) =
            (load_program(&mut ebpf, PROGRAM)?, load_classifier(&mut ebpf, TC_PROGRAM)?);
        let mut stages = Vec::new();
        for stage in Stage::ALL {
            stages.push((STAGES, *stage, load_program(&mut ebpf, stage.program())?));
            stages.push((TC_STAGES, *stage, load_classifier(&mut ebpf, stage.tc_program())?));
        }
        for name in [CLOCK_PROGRAM, SWEEP_PROGRAM, ADOPT_PROGRAM] {
            load_classifier(&mut ebpf, name)?;
        }
        let maps = Maps::take(&mut ebpf)?;
        for (map, stage, program) in &stages {
            maps.enter_stage(map, *stage, program)?;
        }
        let program_ids = [program_id(program.as_fd())?, program_id(tc_program.as_fd())?];
        let reader = Arc::new(Reader::open(&maps)?);
        let (ends, refusals) = (ring(&maps, ENDS)?, ring(&maps, REFUSALS)?);
        let links = Mutex::default();
        Ok(Self {
            ebpf,
            program,
            tc_program,
            program_ids,
            maps,
            reader,
            ends,
            refusals,
            pins: None,
            before: None,
            regions: settings.regions,
            links,
        })
    }
}

/// Empties a ring.
fn drain<R: FromBytes>(ring: &Mutex<RingBuf<MapData>>) -> Vec<R> {
    let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
    let mut records = Vec::new();
    while let Some(item) = ring.next() {
        records.extend(R::read_from_bytes(&item));
    }
    records
}

fn ring(maps: &Maps, name: &'static str) -> Result<Mutex<RingBuf<MapData>>, Error> {
    let ring = Map::from_map_data(maps.duplicate(name)?).and_then(RingBuf::try_from);
    ring.map(Mutex::new).map_err(Error::load(name))
}

pub(super) fn load_program(ebpf: &mut Ebpf, name: &str) -> Result<ProgramFd, Error> {
    let program = ebpf.program_mut(name).ok_or_else(|| no_program(name))?;
    let program: &mut Xdp = program.try_into().map_err(|_| no_program(name))?;
    program.load().map_err(Error::load("program"))?;
    let fd = program.fd().map_err(Error::load("program"))?;
    fd.try_clone().map_err(Error::load("program"))
}

fn load_classifier(ebpf: &mut Ebpf, name: &str) -> Result<ProgramFd, Error> {
    let program = ebpf.program_mut(name).ok_or_else(|| no_program(name))?;
    let program: &mut SchedClassifier = program.try_into().map_err(|_| no_program(name))?;
    program.load().map_err(Error::load("program"))?;
    let fd = program.fd().map_err(Error::load("program"))?;
    fd.try_clone().map_err(Error::load("program"))
}

/// The descriptor of a loaded program of either kind.
pub(super) fn fd_of<'a>(ebpf: &'a Ebpf, name: &str) -> Result<BorrowedFd<'a>, Error> {
    let program = ebpf.program(name).ok_or_else(|| no_program(name))?;
    Ok(program.fd().map_err(Error::load("program"))?.as_fd())
}

pub(super) fn no_program(name: &str) -> Error {
    Error::Object { what: format!("it has no program {name}") }
}

fn program_id(program: BorrowedFd<'_>) -> Result<u32, Error> {
    let object = fdinfo::read(program).map_err(Error::load("program"))?;
    if let fdinfo::Object::Program(id) = object { Ok(id) } else { Err(no_program(PROGRAM)) }
}
