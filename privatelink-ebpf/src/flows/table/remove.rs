//! The removal of a slot, under the lock of its region.

use super::region::{Home, lock, unlock};
use crate::{
    environment::{Tables, Walk},
    flows::account,
};
use privatelink_common::flow::{MAX_PROBES, REGION_SLOTS, RegionCell, word};

/// Takes a slot out of use if it is still what the caller saw.
#[inline(always)]
pub fn remove<T: Tables>(tables: &T, index: u32, word: u32) -> bool {
    let Some(region) = tables.region(index / REGION_SLOTS) else { return false };
    if lock(tables, region).is_none() {
        return false;
    }
    let removed = remove_locked(tables, index, word, region);
    unlock(tables, region);
    removed
}

#[inline(always)]
fn remove_locked<T: Tables>(tables: &T, index: u32, word: u32, region: &RegionCell) -> bool {
    let Some(slot) = tables.slot(index) else { return false };
    if !tables.exchange(slot.word_cell(), word, word::TOMB) {
        return false;
    }
    slot.seen(tables.now());
    account::removed(tables, slot, word);
    region.live.store(region.live.load().wrapping_sub(1));
    clear(tables, index);
    true
}

/// Frees a tomb, and those before it, if a free slot is next: no search goes on beyond a free slot.
#[inline(always)]
fn clear<T: Tables>(tables: &T, index: u32) {
    let home = Home::at(index);
    let (Some(slot), Some(next)) = (tables.slot(index), tables.slot(home.slot(1))) else { return };
    if next.word() & word::LIFE != word::FREE {
        return;
    }
    slot.word_cell().store(word::RESTING);
    // Look before the walk: most often there is no tomb before, and the call is saved.
    let Some(last) = tables.slot(home.slot(u32::MAX)) else { return };
    if last.word() & word::LIFE == word::TOMB {
        tables.walk(MAX_PROBES, &mut Clear { home });
    }
}

/// Frees the tombs before a slot that is free.
pub(super) struct Clear {
    pub home: Home,
}

impl<T: Tables> Walk<T> for Clear {
    #[inline(always)]
    fn step(&mut self, tables: &T, number: u32) -> bool {
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
