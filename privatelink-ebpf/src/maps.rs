//! The gateway's state in BPF maps.

use crate::operations::{
    EXISTS, FULL, drop_at_endpoint, flow_allowed, flow_end_closed, flow_follow, flow_insert_v4,
    flow_insert_v6, flow_refused, flow_remove, flow_search_v4, flow_search_v6,
};
use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_NOEXIST},
    btf_maps::{Array, DevMap, HashMap, PerCpuArray, PerCpuHashMap, ProgramArray, RingBuf},
    helpers::generated::{bpf_jiffies64, bpf_loop},
    macros::btf_map,
    programs::XdpContext,
};
use core::{ffi::c_void, intrinsics};
use privatelink_common::{
    DropKey, End, Endpoint, EndpointCounters, Limits, Listener, ListenerKey, Local, LocalKey,
    MeterCell, Reason, RefusedFlow, Rule, RuleKey, Sampling, Scratch, Service, Source, Stage,
    Suspect, TagKey, Target, TargetCounters,
    cell::{Word32, Word64},
    flow::{Content, REGION_SLOTS, RegionCell, Slot},
    fragment::{self, Fragmented},
    hash::HashKeys,
    maps::{
        ENDS_BYTES, MAX_ALL_RULES, MAX_BACKENDS, MAX_ENDPOINT_DROPS, MAX_ENDPOINTS, MAX_ERRORS,
        MAX_IFINDEX, MAX_LISTENERS, MAX_LOCALS, MAX_SERVICES, MAX_SOURCES, MAX_TAGGED, MAX_TARGETS,
        REFUSALS_BYTES,
    },
};
use privatelink_ebpf::{
    Tables, Walk,
    flow_table::{Arrival, Taken},
    wire::{Ip, Ipv4},
};

/// Set by the loader to the length of the kernel's jiffy.
#[unsafe(no_mangle)]
static JIFFY_NANOS: Global<u32> = Global::new(4_000_000);
/// Set by the loader to the size of the flow table.
#[unsafe(no_mangle)]
static REGION_COUNT: Global<u32> = Global::new(1);
/// Set by the loader to the secret keys of the flow table.
#[unsafe(no_mangle)]
static HASH_KEYS: [Global<u32>; HashKeys::LEN] = [const { Global::new(0) }; HashKeys::LEN];

/// Set by the loader to the most ICMP errors that go into a network in one tick from one CPU.
#[unsafe(no_mangle)]
static ERRORS_PER_TICK: Global<u32> = Global::new(u32::MAX);

#[btf_map]
static ATTACHMENTS: Array<u32, { MAX_IFINDEX as usize }, MMAPABLE> = Array::new();
#[btf_map]
static TAGGED: HashMap<TagKey, u32, { MAX_TAGGED as usize }, NO_PREALLOC> = HashMap::new();
#[btf_map]
static LOCALS: HashMap<LocalKey, Local, { MAX_LOCALS as usize }, NO_PREALLOC> = HashMap::new();
#[btf_map]
static ENDPOINTS: Array<Endpoint, { MAX_ENDPOINTS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static RULES: HashMap<RuleKey, Rule, { MAX_ALL_RULES as usize }, NO_PREALLOC> = HashMap::new();
#[btf_map]
static LIMITS: Array<Limits, { MAX_ENDPOINTS as usize }, MMAPABLE> = Array::new();
#[btf_map]
static METERS: Array<MeterCell, { MAX_ENDPOINTS as usize }, MMAPABLE> = Array::new();
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
static SAMPLING: PerCpuArray<Sampling, 1> = PerCpuArray::new();
#[btf_map]
static ERRORS: PerCpuArray<Sampling, { MAX_ERRORS as usize }> = PerCpuArray::new();
/// What the stages tell each other.
#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();
/// What the sweep notes of the region in hand.
#[btf_map]
static SUSPECTS: PerCpuArray<Suspect, { REGION_SLOTS as usize }> = PerCpuArray::new();
/// Programs of the later stages, entered by the loader.
#[btf_map]
static STAGES: ProgramArray<{ Stage::ALL.len() }> = ProgramArray::new();

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
        if let Some(count) = ENDPOINT_DROPS.get_ptr_mut(key) {
            // SAFETY: this CPU's own value of an entry that only user space removes, after a
            // grace period of the kernel's.
            unsafe { *count += 1 };
            return;
        }
        // Where another CPU was first, this drop goes uncounted here; `DROPS` has it.
        let _taken = ENDPOINT_DROPS.insert(key, 1, BPF_NOEXIST.into());
    }

    /// Goes on with another stage; returns only if the loader has not entered it.
    #[inline(always)]
    pub fn go_on(&self, context: &XdpContext, stage: Stage) {
        // SAFETY: the programs of the map take the same context as this one.
        unsafe { STAGES.tail_call(context, stage as u32) };
    }

    /// Hands the frame to an interface.
    #[inline(always)]
    pub fn redirect(&self, ifindex: u32) -> Result<u32, u32> {
        DEVICES.redirect(ifindex, 0)
    }
}

impl Tables for Maps {
    #[inline(always)]
    fn nanos(&self) -> u64 {
        // A load from memory, where the coarse clock is a function that costs a third of a packet.
        // SAFETY: the helper takes no arguments.
        let jiffies = unsafe { bpf_jiffies64() };
        jiffies.wrapping_mul(u64::from(JIFFY_NANOS.load()))
    }

    #[inline(always)]
    fn scratch(&self) -> Option<&Scratch> {
        // SAFETY: this CPU's own value of an array that lives as long as the program.
        unsafe { SCRATCH.get_ptr(0)?.as_ref() }
    }

    #[inline(always)]
    fn network(&self, ifindex: u32) -> Option<u32> {
        ATTACHMENTS.get(ifindex)?.checked_sub(1)
    }

    #[inline(always)]
    fn tagged(&self, key: &TagKey) -> Option<u32> {
        // SAFETY: copied before anything else can happen to the entry but an update in place.
        unsafe { TAGGED.get(key) }.copied()
    }

    #[inline(always)]
    fn local(&self, key: &LocalKey) -> Option<Local> {
        // SAFETY: copied before anything else can happen to the entry but an update in place.
        unsafe { LOCALS.get(key) }.copied()
    }

    #[inline(always)]
    fn endpoint(&self, index: u32) -> Option<&Endpoint> {
        ENDPOINTS.get(index)
    }

    #[inline(always)]
    fn rule(&self, key: &RuleKey) -> Option<&Rule> {
        // SAFETY: an entry is never changed, only added and removed.
        unsafe { RULES.get(key) }
    }

    #[inline(always)]
    fn limits(&self, endpoint: u32) -> Option<&Limits> {
        LIMITS.get(endpoint)
    }

    #[inline(always)]
    fn meter(&self, endpoint: u32) -> Option<&MeterCell> {
        METERS.get(endpoint)
    }

    #[inline(always)]
    fn service(&self, index: u32) -> Option<&Service> {
        SERVICES.get(index)
    }

    #[inline(always)]
    fn listener(&self, key: &ListenerKey) -> Option<Listener> {
        // SAFETY: copied before anything else can happen to the entry but an update in place.
        unsafe { LISTENERS.get(key) }.copied()
    }

    #[inline(always)]
    fn backend(&self, index: u32) -> Option<u32> {
        BACKENDS.get(index).copied()
    }

    #[inline(always)]
    fn target(&self, index: u32) -> Option<&Target> {
        TARGETS.get(index)
    }

    #[inline(always)]
    fn source(&self, index: u32) -> Option<&Source> {
        SOURCES.get(index)
    }

    #[inline(always)]
    fn fragmented(&self, index: u32) -> Option<&Fragmented> {
        FRAGMENTS.get(index)
    }

    #[inline(always)]
    fn regions(&self) -> u32 {
        REGION_COUNT.load()
    }

    #[inline(always)]
    fn region(&self, index: u32) -> Option<&RegionCell> {
        REGIONS.get(index)
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<&Slot> {
        SLOTS.get(index)
    }

    #[inline(always)]
    fn suspect(&self, number: u32) -> Option<&Suspect> {
        // SAFETY: this CPU's own value of an array that lives as long as the program.
        unsafe { SUSPECTS.get_ptr(number)?.as_ref() }
    }

    #[inline(always)]
    fn hash_key(&self, index: usize) -> u32 {
        HASH_KEYS.get(index).map_or(0, Global::load)
    }

    #[inline(always)]
    fn search<I: Ip>(&self, arrival: &Arrival<I>) -> Option<u32> {
        let arrival = core::ptr::from_ref(arrival);
        let found = if I::ARRIVES == Ipv4::ARRIVES {
            flow_search_v4(arrival.cast())
        } else {
            flow_search_v6(arrival.cast())
        };
        (found <= u64::from(u32::MAX)).then_some(found as u32)
    }

    #[inline(always)]
    fn insert<I: Ip>(
        &self,
        arrival: &Arrival<I>,
        word: u32,
        content: &Content,
    ) -> Result<u32, Taken> {
        let arrival = core::ptr::from_ref(arrival);
        let entered = if I::ARRIVES == Ipv4::ARRIVES {
            flow_insert_v4(arrival.cast(), word, content)
        } else {
            flow_insert_v6(arrival.cast(), word, content)
        };
        match entered >> 32 {
            0 => Ok(entered as u32),
            EXISTS => Err(Taken::Exists),
            FULL => Err(Taken::Full),
            _ => Err(Taken::Contended),
        }
    }

    #[inline(always)]
    fn remove(&self, index: u32, word: u32) -> bool {
        flow_remove(index, word) != 0
    }

    #[inline(always)]
    fn follow(&self, index: u32, flags: u32) {
        flow_follow(index, flags);
    }

    #[inline(always)]
    fn end_closed(&self, index: u32) -> bool {
        flow_end_closed(index) != 0
    }

    #[inline(always)]
    fn allows(&self, index: u32) -> bool {
        flow_allowed(index) != 0
    }

    #[inline(always)]
    fn report(&self, reason: u32, endpoint: u32) {
        flow_refused(reason, endpoint);
    }

    #[inline(always)]
    fn ended(&self, fill: impl FnOnce(&mut End)) {
        // Filled in place: it is too large for the stack.
        if let Some(mut entry) = ENDS.reserve(0) {
            // SAFETY: any bytes are an `End`.
            fill(unsafe { entry.assume_init_mut() });
            entry.submit(0);
        } else if let Some(lost) = ENDS_LOST.get_ptr_mut(0) {
            // SAFETY: this CPU's own value of an array that lives as long as the program.
            unsafe { *lost += 1 };
        }
    }

    #[inline(always)]
    fn refused(&self, fill: impl FnOnce(&mut RefusedFlow)) {
        let Some(sampling) = SAMPLING.get_ptr_mut(0) else { return };
        // SAFETY: this CPU's own value of an array that lives as long as the program.
        let sampling = unsafe { &mut *sampling };
        if !sampling.takes(self.now(), Sampling::REFUSED_FLOWS) {
            return;
        }
        if let Some(mut entry) = REFUSALS.reserve(0) {
            // SAFETY: any bytes are a `RefusedFlow`.
            fill(unsafe { entry.assume_init_mut() });
            entry.submit(0);
        } else {
            sampling.left_out += 1;
        }
    }

    #[inline(always)]
    fn may_complain(&self, network: u32) -> bool {
        let Some(sampling) = ERRORS.get_ptr_mut(network % MAX_ERRORS) else { return false };
        // SAFETY: this CPU's own value of an array that lives as long as the program.
        unsafe { &mut *sampling }.takes(self.now(), ERRORS_PER_TICK.load())
    }

    #[inline(always)]
    fn count_endpoint(&self, endpoint: u32, count: impl FnOnce(&mut EndpointCounters)) {
        if let Some(counters) = ENDPOINT_COUNTERS.get_ptr_mut(endpoint) {
            // SAFETY: this CPU's own value of an array that lives as long as the program.
            count(unsafe { &mut *counters });
        }
    }

    #[inline(always)]
    fn count_target(&self, target: u32, count: impl FnOnce(&mut TargetCounters)) {
        if let Some(counters) = TARGET_COUNTERS.get_ptr_mut(target) {
            // SAFETY: as above.
            count(unsafe { &mut *counters });
        }
    }

    #[inline(always)]
    fn exchange(&self, cell: &Word32, old: u32, new: u32) -> bool {
        use intrinsics::AtomicOrdering::SeqCst;
        // SAFETY: the cell is a live, aligned word that is only accessed atomically.
        // The orderings are the strongest: LLVM drops the result of relaxed ones on BPF.
        let (_, exchanged) = unsafe {
            intrinsics::atomic_cxchg::<u32, { SeqCst }, { SeqCst }>(cell.as_ptr(), old, new)
        };
        exchanged
    }

    #[inline(always)]
    fn exchange64(&self, cell: &Word64, old: u64, new: u64) -> bool {
        use intrinsics::AtomicOrdering::SeqCst;
        // SAFETY: as in `exchange`.
        let (_, exchanged) = unsafe {
            intrinsics::atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(cell.as_ptr(), old, new)
        };
        exchanged
    }

    #[inline(always)]
    fn add(&self, cell: &Word32, by: u32) {
        use intrinsics::AtomicOrdering::Relaxed;
        // SAFETY: as in `exchange`; the result, which LLVM gets wrong on BPF, is not used.
        unsafe { intrinsics::atomic_xadd::<u32, u32, { Relaxed }>(cell.as_ptr(), by) };
    }

    #[inline(always)]
    fn walk<W: Walk>(&self, limit: u32, walk: &mut W) {
        let step = step::<W> as extern "C" fn(u64, *mut W) -> i64;
        // SAFETY: the helper calls `step` with the walk, which outlives the call, and with
        // nobody else using it.
        unsafe { bpf_loop(limit, step as *mut c_void, core::ptr::from_mut(walk).cast(), 0) };
    }
}

/// One step of a walk, as the kernel calls it: 1 ends the loop.
extern "C" fn step<W: Walk>(number: u64, walk: *mut W) -> i64 {
    // SAFETY: `walk` is what `Maps::walk` handed to the helper.
    let walk = unsafe { &mut *walk };
    i64::from(walk.step(&Maps, number as u32))
}
