//! The gateway's state in BPF maps.

mod access;

use crate::operations::drop_at_endpoint;
use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_NOEXIST},
    btf_maps::{
        Array, DevMap, HashMap, LpmTrie, PerCpuArray, PerCpuHashMap, ProgramArray, RingBuf,
    },
    helpers::generated::bpf_redirect,
    macros::btf_map,
    programs::{TcContext, XdpContext},
};
use privatelink_common::{
    Deadline, DropKey, End, Endpoint, EndpointCounters, Limits, Listener, ListenerKey, Local,
    LocalKey, MeterCell, Reason, RefusedFlow, RuleKey, RuleNode, Sampling, Scratch, Service, Share,
    Source, Stage, Suspect, TagKey, Target, TargetCounters,
    cell::Word64,
    flow::{REGION_SLOTS, RegionCell, Slot},
    fragment::{self, Fragmented},
    hash::HashKeys,
    maps::{
        ENDS_BYTES, MAX_BACKENDS, MAX_ENDPOINT_DROPS, MAX_ENDPOINTS, MAX_ERRORS, MAX_IFINDEX,
        MAX_LISTENERS, MAX_LOCALS, MAX_NETWORKS, MAX_PORT_BLOCKS, MAX_RULE_NODES, MAX_SAMPLED,
        MAX_SENDERS, MAX_SERVICES, MAX_SOURCES, MAX_TAGGED, MAX_TARGETS, REFUSALS_BYTES,
    },
    share::OccupancyCell,
};

/// Set by the loader to the length of the kernel's jiffy.
#[unsafe(no_mangle)]
static JIFFY_NANOS: Global<u32> = Global::new(4_000_000);
/// Set by the loader to the size of the flow table.
#[unsafe(no_mangle)]
pub static REGION_COUNT: Global<u32> = Global::new(1);
/// Set by the loader to the flows that there may be.
#[unsafe(no_mangle)]
static MAX_FLOWS: Global<u32> = Global::new(1);
/// Set by the loader to the secret keys of the flow table.
#[unsafe(no_mangle)]
static HASH_KEYS: [Global<u32>; HashKeys::LEN] = [const { Global::new(0) }; HashKeys::LEN];

/// Set by the loader to the most ICMP errors that go into a network in one tick from one CPU.
#[unsafe(no_mangle)]
static ERRORS_PER_TICK: Global<u32> = Global::new(u32::MAX);

/// Set by the loader to the time between two turns of the timer, in nanoseconds.
#[unsafe(no_mangle)]
pub static WATCH_NANOS: Global<u64> = Global::new(250_000_000);

#[btf_map]
static ATTACHMENTS: Array<u32, { MAX_IFINDEX as usize }, MMAPABLE> = Array::new();
#[btf_map]
static TAGGED: HashMap<TagKey, u32, { MAX_TAGGED as usize }, NO_PREALLOC> = HashMap::new();
#[btf_map]
static LOCALS: HashMap<LocalKey, Local, { MAX_LOCALS as usize }, NO_PREALLOC> = HashMap::new();
#[btf_map]
static NETWORKS: HashMap<u32, u32, { MAX_NETWORKS as usize }, NO_PREALLOC> = HashMap::new();
#[btf_map]
static SENDERS: LpmTrie<Prefix, u32, { MAX_SENDERS as usize }> = LpmTrie::new();
#[btf_map]
pub static ENDPOINTS: Array<Endpoint, { MAX_ENDPOINTS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static RULES: HashMap<RuleKey, RuleNode, { MAX_RULE_NODES as usize }, NO_PREALLOC> = HashMap::new();
#[btf_map]
static LIMITS: Array<Limits, { MAX_ENDPOINTS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static METERS: Array<MeterCell, { MAX_ENDPOINTS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static SHARES: Array<Share, { MAX_ENDPOINTS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static OCCUPANCY: Array<OccupancyCell, 1, MMAPABLE> = Array::new();
#[btf_map]
static PORT_BLOCKS: Array<Word64, { MAX_PORT_BLOCKS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static PATHS: Array<Word64, { MAX_ENDPOINTS as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub static DEADLINES: Array<Deadline, { MAX_ENDPOINTS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static SERVICES: Array<Service, { MAX_SERVICES as usize }, MMAPABLE> = Array::new();
#[btf_map]
static LISTENERS: HashMap<ListenerKey, Listener, { MAX_LISTENERS as usize }, NO_PREALLOC> =
    HashMap::new();
#[btf_map]
static BACKENDS: Array<u32, { MAX_BACKENDS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static TARGETS: Array<Target, { MAX_TARGETS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static SOURCES: Array<Source, { MAX_SOURCES as usize }, MMAPABLE> = Array::new();
/// Sized by the loader, as is [`REGIONS`]; user space maps it into its memory.
#[btf_map]
static SLOTS: Array<Slot, { REGION_SLOTS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static REGIONS: Array<RegionCell, 1, MMAPABLE> = Array::new();
#[btf_map]
static FRAGMENTS: Array<Fragmented, { fragment::ENTRIES as usize }> = Array::new();
#[btf_map]
static DEVICES: DevMap<{ MAX_IFINDEX as usize }> = DevMap::new();
#[btf_map]
static ENDPOINT_COUNTERS: PerCpuArray<EndpointCounters, { MAX_ENDPOINTS as usize }> =
    PerCpuArray::new();
#[btf_map]
static DROPS: PerCpuArray<u64, { Reason::ALL.len() }> = PerCpuArray::new();
#[btf_map]
static TARGET_COUNTERS: PerCpuArray<TargetCounters, { MAX_TARGETS as usize }> = PerCpuArray::new();
/// Not an array: few endpoints refuse anything, and those for few of all reasons.
#[btf_map]
static ENDPOINT_DROPS: PerCpuHashMap<DropKey, u64, { MAX_ENDPOINT_DROPS as usize }, NO_PREALLOC> =
    PerCpuHashMap::new();

/// Flows that have ended, for the daemon.
#[btf_map]
static ENDS: RingBuf<End, { ENDS_BYTES as usize }> = RingBuf::new();
#[btf_map]
static ENDS_LOST: PerCpuArray<u64, 1> = PerCpuArray::new();
/// Flows that were refused, for the daemon.
#[btf_map]
static REFUSALS: RingBuf<RefusedFlow, { REFUSALS_BYTES as usize }> = RingBuf::new();
#[btf_map]
static SAMPLING: PerCpuArray<Sampling, { MAX_SAMPLED as usize }> = PerCpuArray::new();
#[btf_map]
static ERRORS: PerCpuArray<Sampling, { MAX_ERRORS as usize }> = PerCpuArray::new();
/// Notes that the stages pass on about the current packet.
#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();
/// Notes of the sweep about the current region.
#[btf_map]
static SUSPECTS: PerCpuArray<Suspect, { REGION_SLOTS as usize }> = PerCpuArray::new();
/// Programs of the later stages, entered by the loader.
#[btf_map]
static STAGES: ProgramArray<{ Stage::ALL.len() }> = ProgramArray::new();
/// Those of the programs in the network stack: a map of programs holds one kind.
#[btf_map]
static TC_STAGES: ProgramArray<{ Stage::ALL.len() }> = ProgramArray::new();

/// What [`SenderKey`](privatelink_common::SenderKey) holds behind the length: the network's index
/// and the address.
type Prefix = [u32; 5];

/// Small tables that are rarely full: memory is taken by what is in them.
const NO_PREALLOC: usize = aya_ebpf::bindings::BPF_F_NO_PREALLOC as usize;

/// User space reads these by mapping them into its memory.
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

/// The maps of this object.
pub struct Maps;

impl Maps {
    /// Counts a packet that was not forwarded.
    #[inline(always)]
    pub fn count_drop(&self, reason: Reason, endpoint: Option<u32>) {
        if let Some(count) = DROPS.get_ptr_mut(reason as u32) {
            // SAFETY: this CPU's own value of an array that lives as long as the program.
            unsafe { *count += 1 };
        }
        if let Some(endpoint) = endpoint {
            drop_at_endpoint(endpoint, reason as u32);
        }
    }

    /// Counts it at its endpoint.
    #[inline(always)]
    pub fn count_drop_at(&self, key: DropKey) {
        if self.count_at(key) {
            return;
        }
        // The first of its kind; where another CPU has just entered it, that entry is counted in.
        let _entered = ENDPOINT_DROPS.insert(key, 0, BPF_NOEXIST.into());
        self.count_at(key);
    }

    /// Whether there is an entry to count it in.
    #[inline(always)]
    fn count_at(&self, key: DropKey) -> bool {
        let Some(count) = ENDPOINT_DROPS.get_ptr_mut(key) else { return false };
        // SAFETY: this CPU's own value of an entry that only user space removes, after a grace
        // period of the kernel's.
        unsafe { *count += 1 };
        true
    }

    /// Goes on with another stage; returns only if the loader has not entered it.
    #[inline(always)]
    pub fn go_on(&self, context: &XdpContext, stage: Stage) {
        // SAFETY: the programs of the map take the same context as this one.
        unsafe { STAGES.tail_call(context, stage as u32) };
    }

    /// [`Self::go_on`] in the network stack.
    #[inline(always)]
    pub fn go_on_tc(&self, context: &TcContext, stage: Stage) {
        // SAFETY: the programs of the map take the same context as this one.
        unsafe { TC_STAGES.tail_call(context, stage as u32) };
    }

    /// Hands the frame to an interface in the network stack; `None` if no network has it. The map
    /// of devices is of the other kind of program, and attachments say the same.
    #[inline(always)]
    pub fn hand_over(&self, ifindex: u32) -> Option<i32> {
        if *ATTACHMENTS.get(ifindex)? == 0 {
            return None;
        }
        // SAFETY: the helper takes numbers.
        Some(unsafe { bpf_redirect(ifindex, 0) } as i32)
    }

    /// Hands the frame to an interface.
    #[inline(always)]
    pub fn redirect(&self, ifindex: u32) -> Result<u32, u32> {
        DEVICES.redirect(ifindex, 0)
    }
}
