//! One region of the flow table: its lock, and the walks along its slots.

use super::Arrival;
use crate::{
    environment::{Tables, Walk},
    wire::Ip,
};
use privatelink_common::flow::{REGION_SLOTS, REST_TICKS, RegionCell, word};

/// Attempts to take a region's lock; it is held for well under a microsecond.
const LOCK_ATTEMPTS: u32 = 4096;

/// Where a tuple's search in a region begins.
#[derive(Clone, Copy)]
pub(super) struct Home {
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

/// Frees the tombs before a slot that is free.
pub(super) struct Clear {
    pub home: Home,
}

impl Walk for Clear {
    #[inline(always)]
    fn step<T: Tables>(&mut self, tables: &T, number: u32) -> bool {
        let Some(slot) = tables.slot(self.home.slot(!number)) else {
            return true;
        };
        if slot.word() & word::LIFE != word::TOMB {
            return true;
        }
        slot.word_cell().store(word::RESTING);
        false
    }
}

/// No slot.
pub(super) const NOWHERE: u32 = u32::MAX;

/// A search along the probe sequence, for the tuple and for room.
pub(super) struct Probe<'k, I: Ip> {
    key: &'k Arrival<I>,
    pub home: Home,
    pub now: u32,
    /// Index of the slot that holds the tuple.
    pub found: u32,
    /// Index of the first slot that may be used.
    pub room: u32,
    /// Whether a free slot that rests may be made a tomb, to find room beyond it.
    pub claims: bool,
}

impl<'k, I: Ip> Probe<'k, I> {
    #[inline(always)]
    pub fn new(key: &'k Arrival<I>, home: Home) -> Self {
        Self { key, home, now: 0, found: NOWHERE, room: NOWHERE, claims: false }
    }
}

impl<I: Ip> Walk for Probe<'_, I> {
    #[inline(always)]
    fn step<T: Tables>(&mut self, tables: &T, number: u32) -> bool {
        let index = self.home.slot(number);
        let Some(slot) = tables.slot(index) else { return true };
        let word = slot.word();
        if word & word::LIFE <= word::TOMB {
            let rested = word == 0 || self.now.wrapping_sub(slot.last_seen()) >= REST_TICKS;
            if rested && self.room == NOWHERE {
                self.room = index;
            }
            if word & word::LIFE == word::TOMB {
                return false;
            }
            if self.room != NOWHERE || !self.claims {
                return true;
            }
            // It rests: room is further on, where a search must come to.
            slot.word_cell().store(word::TOMB);
            return false;
        }
        if self.key.matches(tables, index, slot).is_some() {
            self.found = index;
            return true;
        }
        false
    }
}

struct Lock<'t> {
    region: &'t RegionCell,
    held: bool,
}

impl Walk for Lock<'_> {
    #[inline(always)]
    fn step<T: Tables>(&mut self, tables: &T, _number: u32) -> bool {
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
    // The exchange, rather than a store, is the barrier that ends the critical section.
    let _released = tables.exchange(&region.lock, 1, 0);
}
