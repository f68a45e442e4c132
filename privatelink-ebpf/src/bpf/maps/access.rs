//! The packet path's access to the maps.

use super::{
    ATTACHMENTS, BACKENDS, ENDPOINT_COUNTERS, ENDPOINTS, ENDS, ENDS_LOST, ERRORS, ERRORS_PER_TICK,
    FRAGMENTS, HASH_KEYS, JIFFY_NANOS, LIMITS, LISTENERS, LOCALS, MAX_FLOWS, METERS, Maps,
    NETWORKS, OCCUPANCY, PATHS, PORT_BLOCKS, REFUSALS, REGION_COUNT, REGIONS, RULES, SAMPLING,
    SCRATCH, SENDERS, SERVICES, SHARES, SLOTS, SOURCES, SUSPECTS, TAGGED, TARGET_COUNTERS, TARGETS,
};
use crate::operations::{
    EXISTS, FULL, flow_allowed, flow_choice_v4, flow_choice_v6, flow_end, flow_follow,
    flow_insert_v4, flow_insert_v6, flow_make_room, flow_refused, flow_remove, flow_reserve,
    flow_search_v4, flow_search_v6, port_give_back, port_is_open, port_take,
};
use aya_ebpf::{
    Global,
    btf_maps::lpm_trie::Key,
    helpers::generated::{bpf_jiffies64, bpf_loop},
};
use core::{ffi::c_void, intrinsics};
use privatelink_common::{
    End, Endpoint, EndpointCounters, Limits, Listener, ListenerKey, Local, LocalKey, MeterCell,
    RefusedFlow, RuleKey, RuleNode, Sampling, Scratch, SenderKey, Service, Share, Source, Suspect,
    TagKey, Target, TargetCounters,
    cell::{Word32, Word64},
    flow::{Content, RegionCell, Slot},
    fragment::Fragmented,
    maps::{MAX_ERRORS, MAX_SAMPLED},
    share::OccupancyCell,
};
use privatelink_ebpf::{
    Operations, Tables, Walk,
    flows::{
        blocks::Place,
        table::{Arrival, Taken},
    },
    wire::{Ip, Ipv4},
};

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
    fn host(&self, network: u32) -> u32 {
        // SAFETY: copied before anything else can happen to the entry but an update in place.
        unsafe { NETWORKS.get(network) }.copied().unwrap_or(0)
    }

    #[inline(always)]
    fn has_sender(&self, key: &SenderKey) -> bool {
        let [a, b, c, d] = key.address.words();
        SENDERS.get(&Key::new(key.length, [key.network, a, b, c, d])).is_some()
    }

    #[inline(always)]
    fn endpoint(&self, index: u32) -> Option<&Endpoint> {
        ENDPOINTS.get(index)
    }

    #[inline(always)]
    fn rule(&self, key: &RuleKey) -> Option<&RuleNode> {
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
    fn path(&self, endpoint: u32) -> Option<&Word64> {
        PATHS.get(endpoint)
    }

    #[inline(always)]
    fn share(&self, endpoint: u32) -> Option<&Share> {
        SHARES.get(endpoint)
    }

    #[inline(always)]
    fn occupancy(&self) -> Option<&OccupancyCell> {
        OCCUPANCY.get(0)
    }

    #[inline(always)]
    fn port_block(&self, index: u32) -> Option<&Word64> {
        PORT_BLOCKS.get(index)
    }

    #[inline(always)]
    fn max_flows(&self) -> u32 {
        MAX_FLOWS.load()
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
    fn refused(&self, network: u32, fill: impl FnOnce(&mut RefusedFlow)) {
        let Some(sampling) = SAMPLING.get_ptr_mut(network % MAX_SAMPLED) else { return };
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
    fn add64(&self, cell: &Word64, by: u64) {
        use intrinsics::AtomicOrdering::Relaxed;
        // SAFETY: as in `add`.
        unsafe { intrinsics::atomic_xadd::<u64, u64, { Relaxed }>(cell.as_ptr(), by) };
    }

    #[inline(always)]
    fn count_up(&self, cell: &Word32) -> u32 {
        use intrinsics::AtomicOrdering::SeqCst;
        // SAFETY: as in `exchange`, and for its reason with the strongest ordering.
        unsafe { intrinsics::atomic_xadd::<u32, u32, { SeqCst }>(cell.as_ptr(), 1) }
    }

    #[inline(always)]
    fn walk<W: Walk<Self>>(&self, limit: u32, walk: &mut W) {
        let step = step::<W> as extern "C" fn(u64, *mut W) -> i64;
        // SAFETY: the helper calls `step` with the walk, which outlives the call, and with
        // no other code using it.
        unsafe { bpf_loop(limit, step as *mut c_void, core::ptr::from_mut(walk).cast(), 0) };
    }
}

impl Operations for Maps {
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
    fn choice<I: Ip>(&self, arrival: &Arrival<I>, of_client: bool) -> u64 {
        let arrival = core::ptr::from_ref(arrival);
        if I::ARRIVES == Ipv4::ARRIVES {
            flow_choice_v4(arrival.cast(), of_client.into())
        } else {
            flow_choice_v6(arrival.cast(), of_client.into())
        }
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
    fn end_flow(&self, index: u32, cause: u32) -> bool {
        flow_end(index, cause) != 0
    }

    #[inline(always)]
    fn make_room(&self, endpoint: u32, place: u32) -> bool {
        flow_make_room(endpoint, place) != 0
    }

    #[inline(always)]
    fn reserve(&self, endpoint: u32, made: bool) -> bool {
        flow_reserve(endpoint, made.into()) != 0
    }

    #[inline(always)]
    fn is_open_to(&self, place: &Place, endpoint: u32) -> bool {
        let Place { source, port, number, at_home } = *place;
        port_is_open(source, port, number, at_home.into(), endpoint) != 0
    }

    #[inline(always)]
    fn take(&self, place: &Place, endpoint: u32) -> bool {
        let Place { source, port, number, at_home } = *place;
        port_take(source, port, number, at_home.into(), endpoint) != 0
    }

    #[inline(always)]
    fn give_back(&self, source: u32, port: u32) {
        port_give_back(source, port);
    }

    #[inline(always)]
    fn allows(&self, index: u32) -> bool {
        flow_allowed(index) != 0
    }

    #[inline(always)]
    fn report(&self, reason: u32, endpoint: u32) {
        flow_refused(reason, endpoint);
    }
}

/// One step of a walk, as the kernel calls it: 1 ends the loop.
extern "C" fn step<W: Walk<Maps>>(number: u64, walk: *mut W) -> i64 {
    // SAFETY: `walk` is what `Maps::walk` handed to the helper.
    let walk = unsafe { &mut *walk };
    i64::from(walk.step(&Maps, number as u32))
}
