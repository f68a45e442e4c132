//! What goes on while no daemon runs: a timer in the kernel that ends grants and sweeps flows.
//!
//! Each sweep of the daemon puts the timer off for [`PATIENCE`], so that it fires only if there is
//! no daemon, or one that hangs. Then grants end at their time; flows are swept later, after
//! [`SWEEP_PATIENCE`]. The timer lives in a pinned map, and keeps its program alive.

use crate::{
    maps::{DEADLINES, ENDPOINTS, Maps, REGION_COUNT, WATCH_NANOS},
    operations::flow_sweep,
};
use aya_ebpf::{
    bindings::bpf_timer,
    btf_maps::Array,
    helpers::generated::{bpf_timer_init, bpf_timer_set_callback, bpf_timer_start},
    macros::btf_map,
};
use core::{ffi::c_void, ptr};
use privatelink_common::{cell::Word32, ticks_from_millis};
use privatelink_ebpf::{Tables as _, Walk};

/// How long after the last sweep of a daemon the timer fires.
const PATIENCE: u64 = 600_000_000;
/// How long after it flows are swept, too: a daemon that is only slow reports the end of each, and
/// without it only as many are kept as fit into the ring.
const SWEEP_PATIENCE: u32 = ticks_from_millis(10_000);
/// Regions that are swept at a time, while packets on this CPU wait.
const STRIDE: u32 = 16;
/// The clock that goes on while the machine sleeps.
const CLOCK_BOOTTIME: u64 = 7;

/// The timer, and where it goes on.
#[repr(C)]
pub struct Watch {
    timer: bpf_timer,
    notes: Notes,
}

/// Where the timer goes on, and what it was told.
#[repr(C)]
struct Notes {
    region: Word32,
    endpoint: Word32,
    /// How many endpoints to look at, all in all and each time.
    endpoints: Word32,
    step: Word32,
    /// How often it has fired.
    turns: Word32,
    /// How many admissions it has changed.
    changes: Word32,
    /// When it was last put off: a tick.
    put_off: Word32,
    reserved: Word32,
}

#[btf_map]
static WATCH: Array<Watch, 1> = Array::new();

/// Puts the timer off, and says how many endpoints it looks at.
#[inline(always)]
pub fn put_off(endpoints: u32, step: u32) -> Option<()> {
    let watch = WATCH.get_ptr_mut(0)?;
    // SAFETY: the value of an array that lives as long as the program; notes are cells.
    let notes = unsafe { &(*watch).notes };
    notes.endpoints.store(endpoints);
    notes.step.store(step);
    notes.put_off.store(Maps.now());
    // SAFETY: as above.
    let timer = unsafe { &raw mut (*watch).timer };
    let map = ptr::from_ref(&WATCH).cast_mut().cast();
    // SAFETY: a timer of this map; if it has been initialised before, the helper changes nothing.
    unsafe { bpf_timer_init(timer, map, CLOCK_BOOTTIME) };
    let fire = fire as extern "C" fn(*mut c_void, *mut u32, *mut Watch) -> i64;
    // SAFETY: it has been initialised, and the function is what the helper takes.
    unsafe { bpf_timer_set_callback(timer, fire as *mut c_void) };
    // SAFETY: it has been initialised.
    unsafe { bpf_timer_start(timer, PATIENCE, 0) };
    Some(())
}

/// Does a part of what the daemon would, and fires again.
extern "C" fn fire(_map: *mut c_void, _key: *mut u32, watch: *mut Watch) -> i64 {
    // A sweep that was interrupted on this CPU uses the same notes.
    let busy = Maps.scratch().is_none_or(|scratch| scratch.sweeping.load() != 0);
    // SAFETY: the kernel passes the value of the timer's map; notes are cells.
    let notes = unsafe { &(*watch).notes };
    notes.turns.store(notes.turns.load().wrapping_add(1));
    if !busy {
        take_turn(notes);
    }
    // SAFETY: as above.
    let timer = unsafe { &raw mut (*watch).timer };
    // SAFETY: a timer of this map that has been initialised.
    unsafe { bpf_timer_start(timer, WATCH_NANOS.load(), 0) };
    0
}

/// Sweeps the next regions, if no daemon has for long, and has the next endpoints obey the clock.
#[inline(always)]
fn take_turn(notes: &Notes) {
    let (region, endpoint) = (notes.region.load(), notes.endpoint.load());
    let sweeps = Maps.now().wrapping_sub(notes.put_off.load()) >= SWEEP_PATIENCE;
    if sweeps {
        flow_sweep(region, STRIDE, 0);
    }
    let step = notes.step.load();
    let mut obey = Obey { first: endpoint };
    Maps.walk(step, &mut obey);
    let next = |at: u32, step: u32, end: u32| {
        let next = at.wrapping_add(step);
        if next < end { next } else { 0 }
    };
    notes.region.store(next(region, if sweeps { STRIDE } else { 0 }, REGION_COUNT.load()));
    notes.endpoint.store(next(endpoint, step, notes.endpoints.load()));
}

/// Makes endpoints obey the clock.
struct Obey {
    first: u32,
}

impl Walk<Maps> for Obey {
    #[inline(always)]
    fn step(&mut self, tables: &Maps, number: u32) -> bool {
        let index = self.first.wrapping_add(number);
        let Some(deadline) = DEADLINES.get(index) else { return true };
        let Some(endpoint) = ENDPOINTS.get_ptr_mut(index) else { return true };
        // SAFETY: an aligned word of a value of an array that lives as long as the program.
        let admission = unsafe { &raw mut (*endpoint).admission };
        // SAFETY: as above; the daemon may write to it.
        let before = unsafe { admission.read_volatile() };
        if let Some(next) = deadline.next(before, tables.now()) {
            // SAFETY: as above.
            unsafe { admission.write_volatile(next) };
            if let Some(watch) = WATCH.get_ptr_mut(0) {
                // SAFETY: the value of an array that lives as long as the program.
                let changes = unsafe { &(*watch).notes.changes };
                // Only the timer writes it, and that runs on one CPU at a time.
                changes.store(changes.load().wrapping_add(1));
            }
        }
        false
    }
}
