//! The flow table and the clock as the programs see them.

use std::io;

use aya::maps::MapData;
use privatelink_common::flow::{Flow, REGION_SLOTS, Slot, word};

use super::mapping::Mapping;

/// The slots of a flow table.
#[derive(Debug)]
pub(super) struct FlowTable(Mapping);

impl FlowTable {
    /// Maps the table `map`, of which every value is a [`Slot`], for reading.
    pub(super) fn map(map: &MapData) -> io::Result<Self> {
        Mapping::of::<Slot>(map).map(Self)
    }

    /// How many regions it has.
    pub(super) fn regions(&self) -> u32 {
        let (_, slots) = self.0.values();
        u32::try_from(slots / REGION_SLOTS as usize).unwrap_or(u32::MAX)
    }

    fn slots(&self) -> &[Slot] {
        let (base, count) = self.0.values();
        // SAFETY: this many slots are mapped until `self` is dropped, one after the other and
        // aligned to a page; any bytes are a slot, and it is made of atomics, so the programs
        // may write to it.
        unsafe { std::slice::from_raw_parts(base.cast().as_ptr(), count) }
    }

    /// Copies of all slots that are in use, with their indices.
    pub(super) fn all_live(&self) -> impl Iterator<Item = (usize, Flow)> {
        self.slots().iter().map(Slot::load).enumerate().filter(|(_, flow)| flow.is_live())
    }

    /// How many slots it has.
    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }

    /// Copies of the slots of these regions that are in use. A slot that another flow gets while it
    /// is copied is left out.
    pub(super) fn live(&self, regions: Vec<u32>) -> impl Iterator<Item = Flow> {
        let mut regions = regions.into_iter();
        let slots = std::iter::from_fn(move || {
            let start = regions.next()? as usize * REGION_SLOTS as usize;
            self.slots().get(start..start + REGION_SLOTS as usize)
        });
        slots.flatten().filter_map(|slot| {
            let flow = slot.load();
            let again = slot.word();
            (flow.is_live() && same_flow(flow.word, again)).then_some(flow)
        })
    }
}

/// Whether two reads of a slot saw the same flow, whose phase may have changed in between.
fn same_flow(before: u32, after: u32) -> bool {
    const WHOSE: u32 = word::LIFE | word::REVERSE | word::PROTOCOL;
    before & WHOSE == after & WHOSE
}

/// Length of the kernel's jiffy in nanoseconds: the resolution of its coarse clocks.
pub(super) fn jiffy_nanos() -> io::Result<u32> {
    let mut resolution = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes the resolution to where it is told.
    let result = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut resolution) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    u32::try_from(resolution.tv_nsec).map_err(io::Error::other)
}
