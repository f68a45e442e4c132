//! The insertion of a tuple, under the locks of its regions.

use super::{
    arrival::{Arrival, Taken},
    region::{NOWHERE, lock, unlock},
    search::{Homes, Probe},
};
use crate::{environment::Tables, wire::Ip};
use privatelink_common::flow::{Content, MAX_PROBES, NEAR_LIMIT, REGION_LIMIT, RegionCell, word};

impl<I: Ip> Arrival<I> {
    /// Enters one direction of a flow, whose packets arrive with this tuple: `word` says what it
    /// is, `content` the rest.
    ///
    /// # Errors
    /// Why the direction could not be entered.
    #[inline(always)]
    pub fn insert<T: Tables>(
        &self,
        tables: &T,
        word: u32,
        content: &Content,
    ) -> Result<u32, Taken> {
        let homes = Homes::of(tables, self.hash(tables));
        let near = tables.region(homes.near.region).ok_or(Taken::Full)?;
        lock(tables, near).ok_or(Taken::Contended)?;
        let result = self.insert_beyond(tables, homes, near, word, content);
        unlock(tables, near);
        result
    }

    /// Takes the far region's lock too. Every CPU takes a near lock first and a far one second, and
    /// no region is both, so two CPUs never wait for each other.
    #[inline(always)]
    fn insert_beyond<T: Tables>(
        &self,
        tables: &T,
        homes: Homes,
        near: &RegionCell,
        word: u32,
        content: &Content,
    ) -> Result<u32, Taken> {
        let mut probe = Probe::new(self, homes.near);
        probe.claims = true;
        probe.now = tables.now();
        tables.walk(MAX_PROBES, &mut probe);
        if !homes.has_far {
            return enter(tables, &probe, near, REGION_LIMIT, word, content);
        }
        let far = tables.region(homes.far.region).ok_or(Taken::Full)?;
        lock(tables, far).ok_or(Taken::Contended)?;
        let near_room = probe.room;
        probe.home = homes.far;
        probe.room = NOWHERE;
        if probe.found == NOWHERE {
            tables.walk(MAX_PROBES, &mut probe);
        }
        let far_room = probe.room;
        probe.room = near_room;
        let mut result = enter(tables, &probe, near, NEAR_LIMIT, word, content);
        if result == Err(Taken::Full) {
            probe.room = far_room;
            result = enter(tables, &probe, far, REGION_LIMIT, word, content);
        }
        unlock(tables, far);
        result
    }
}

/// Enters a slot where a probe found room, in a region whose lock is held.
#[inline(always)]
fn enter<T: Tables, I: Ip>(
    tables: &T,
    probe: &Probe<'_, I>,
    region: &RegionCell,
    limit: u32,
    word: u32,
    content: &Content,
) -> Result<u32, Taken> {
    if probe.found != NOWHERE {
        return Err(Taken::Exists);
    }
    let live = region.live.load();
    let room = probe.room;
    let slot = tables.slot(room).ok_or(Taken::Full)?;
    if live >= limit {
        return Err(Taken::Full);
    }
    // Each exchange is a barrier: no CPU sees the content before the word is LIVE.
    if !tables.exchange(slot.word_cell(), slot.word(), word::BUSY) {
        return Err(Taken::Contended);
    }
    slot.fill(content);
    if !tables.exchange(slot.word_cell(), word::BUSY, word | word::LIVE) {
        return Err(Taken::Contended);
    }
    region.live.store(live + 1);
    Ok(room)
}
