//! One region of the flow table: where its slots are, and its lock.

use crate::environment::{Tables, Walk};
use privatelink_common::flow::{REGION_SLOTS, RegionCell};

/// Attempts to take a region's lock; it is held for well under a microsecond.
const LOCK_ATTEMPTS: u32 = 4096;

/// Where a tuple's search in a region begins.
#[derive(Clone, Copy)]
pub struct Home {
    /// Number of the region.
    pub region: u32,
    /// The slot within it.
    pub offset: u32,
}

impl Home {
    /// The home that is this slot.
    #[inline(always)]
    pub fn at(slot: u32) -> Self {
        Self { region: slot / REGION_SLOTS, offset: slot }
    }

    /// The slot at a distance from home.
    #[inline(always)]
    pub fn slot(self, distance: u32) -> u32 {
        self.region * REGION_SLOTS + (self.offset.wrapping_add(distance) & (REGION_SLOTS - 1))
    }
}

/// The index that a search returns when it has found no slot.
pub const NOWHERE: u32 = u32::MAX;

struct Lock<'t> {
    region: &'t RegionCell,
    held: bool,
}

impl<T: Tables> Walk<T> for Lock<'_> {
    #[inline(always)]
    fn step(&mut self, tables: &T, _number: u32) -> bool {
        self.held = tables.exchange(&self.region.lock, 0, 1);
        self.held
    }
}

/// Takes a region's lock, unless another CPU holds it for too long.
#[inline(always)]
pub(super) fn lock<T: Tables>(tables: &T, region: &RegionCell) -> Option<()> {
    if tables.exchange(&region.lock, 0, 1) {
        return Some(());
    }
    let mut lock = Lock { region, held: false };
    tables.walk(LOCK_ATTEMPTS, &mut lock);
    lock.held.then_some(())
}

/// Lets go of a region's lock.
#[inline(always)]
pub(super) fn unlock<T: Tables>(tables: &T, region: &RegionCell) {
    // An exchange rather than a store: it is the barrier that ends the critical section.
    let _released = tables.exchange(&region.lock, 1, 0);
}
