//! The flow table: open addressing in regions of 256 slots.
//!
//! A search starts at the tuple's home slot and goes on, around the region, to the first free
//! slot. A tuple has two homes: in one of the near regions, which a processor's caches hold, and
//! in one of the far ones, where it is entered only when its near region is full. Searches take
//! no lock. Insertions hold the locks of both regions, removals that of the slot's, so a tuple
//! is claimed once, whichever CPUs race for it. A removed slot rests for a second before it is
//! used again, because another CPU may just have found it.

mod other;
mod region;

use crate::{environment::Tables, wire::Ip};
pub use other::{fetch, homes_of_other, other_slot, slot_of_other};
use privatelink_common::{
    Endpoint, Source, Target,
    flow::{
        Content, MAX_PROBES, NEAR_LIMIT, NEAR_REGIONS, REGION_LIMIT, REGION_SLOTS, RegionCell,
        Slot, word,
    },
    hash,
};
use region::{Clear, Home, NOWHERE, Probe, lock, unlock};

/// A packet's tuple as it arrives.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Arrival<I: Ip> {
    /// Index of the network.
    pub network: u32,
    /// Sender.
    pub source: I::Address,
    /// Receiver.
    pub destination: I::Address,
    /// Source and destination port as on the wire.
    pub ports: u32,
    /// IP protocol number.
    pub protocol: u32,
}

/// A slot and the records that it names.
pub struct Found<'t> {
    /// Index of the slot.
    pub index: u32,
    /// The slot.
    pub slot: &'t Slot,
    /// Its word, read once.
    pub word: u32,
    /// The endpoint of the flow.
    pub endpoint: &'t Endpoint,
    /// The target of the flow.
    pub target: &'t Target,
    /// The source address of the flow.
    pub source: &'t Source,
}

/// Why a tuple could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is there already.
    Exists,
    /// The region has no room.
    Full,
    /// Another CPU held the region for too long.
    Contended,
}

/// The two homes of a tuple.
#[derive(Clone, Copy)]
struct Homes {
    near: Home,
    far: Home,
    /// Whether the table is so large that there are far regions.
    has_far: bool,
}

impl Homes {
    #[inline(always)]
    fn of<T: Tables>(tables: &T, hash: u64) -> Self {
        let all = tables.regions();
        let near = if all < NEAR_REGIONS { all } else { NEAR_REGIONS };
        let far = all - near;
        let place = |regions: u32| (((hash >> 32) * u64::from(regions)) >> 32) as u32;
        let offset = hash as u32;
        Self {
            near: Home { region: place(near), offset },
            far: Home { region: near + place(far), offset },
            has_far: far != 0,
        }
    }
}

/// Probes of the fast path: few flows are farther from their home.
pub const NEAR: u32 = 8;
impl<I: Ip> Arrival<I> {
    /// The keyed hash of the tuple.
    #[inline(always)]
    pub fn hash<T: Tables>(&self, tables: &T) -> u64 {
        let key = |index| tables.hash_key(index);
        let whose = self.network << 8 | self.protocol;
        let sum = hash::pair(key(0), self.ports, key(1), whose).wrapping_add(I::hash(
            self.source,
            self.destination,
            key,
        ));
        hash::finish(sum)
    }

    /// [`Arrival::hash`] out of line: where a flow is opened, room on the stack is scarce.
    #[inline(never)]
    pub fn hash_slowly<T: Tables>(&self, tables: &T) -> u64 {
        self.hash(tables)
    }

    /// The keyed hash of the client, whatever it speaks to.
    #[inline(never)]
    pub fn client_hash<T: Tables>(&self, tables: &T) -> u64 {
        let key = |index| tables.hash_key(index);
        let whose = self.network << 8;
        let sum = hash::pair(key(0), 0, key(1), whose);
        hash::finish(sum.wrapping_add(I::hash(self.source, self.source, key)))
    }

    /// The ones' complement sum over addresses.
    #[inline(never)]
    pub fn address_sum(&self) -> u32 {
        I::sum(self.source) + I::sum(self.destination)
    }

    /// The ones' complement sum over ports.
    #[inline(always)]
    pub fn port_sum(&self) -> u32 {
        (self.ports & 0xffff) + (self.ports >> 16)
    }

    /// What the word of a slot must show for this tuple.
    #[inline(always)]
    fn expected_word(&self) -> u32 {
        word::LIVE | I::ARRIVES | self.protocol << word::PROTOCOL_SHIFT
    }

    /// Whether a slot is this tuple's.
    #[inline(always)]
    fn matches<'t, T: Tables>(
        &self,
        tables: &'t T,
        index: u32,
        slot: &'t Slot,
    ) -> Option<Found<'t>> {
        let word = slot.word();
        if word & word::MATCH != self.expected_word() {
            return None;
        }
        let reverse = word & word::REVERSE != 0;
        let ports = if reverse { slot.provider_ports() } else { slot.consumer_ports() };
        if ports != self.ports {
            return None;
        }
        let found = Found::of(tables, index, slot, word)?;
        let same = if reverse {
            found.target.network == self.network
                && I::from_addr(&found.target.address) == self.source
                && I::from_addr(&found.source.address) == self.destination
        } else {
            found.endpoint.network == self.network
                && I::of_client(slot) == self.source
                && I::of_endpoint(found.endpoint) == self.destination
        };
        same.then_some(found)
    }

    /// The flow that this tuple belongs to, if it is within `probes` slots of a home.
    #[inline(always)]
    pub fn find<'t, T: Tables>(&self, tables: &'t T, probes: u32) -> Option<Found<'t>> {
        let homes = Homes::of(tables, self.hash(tables));
        let mut home = homes.near;
        for _ in 0..1 + u32::from(homes.has_far) {
            for distance in 0..probes {
                let index = home.slot(distance);
                let slot = tables.slot(index)?;
                if let Some(found) = self.matches(tables, index, slot) {
                    return Some(found);
                }
                if slot.word() & word::LIFE == word::FREE {
                    break;
                }
            }
            home = homes.far;
        }
        None
    }

    /// Index of the slot that this tuple belongs to, however far it is.
    #[inline(always)]
    pub fn search<T: Tables>(&self, tables: &T) -> Option<u32> {
        let homes = Homes::of(tables, self.hash(tables));
        let mut probe = Probe::new(self, homes.near);
        tables.walk(MAX_PROBES, &mut probe);
        if probe.found == NOWHERE && homes.has_far {
            probe.home = homes.far;
            tables.walk(MAX_PROBES, &mut probe);
        }
        (probe.found != NOWHERE).then_some(probe.found)
    }

    /// Enters one direction of a flow, whose packets arrive with this tuple: `word` says what it
    /// is, `content` the rest.
    ///
    /// # Errors
    /// Why it could not be entered.
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

    /// Takes the far region's lock too, always after the near one's.
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
    // Each exchange is a barrier: the content is seen by nobody before the word says so.
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

impl<'t> Found<'t> {
    /// The records that a slot names.
    #[inline(always)]
    fn of<T: Tables>(tables: &'t T, index: u32, slot: &'t Slot, word: u32) -> Option<Self> {
        Some(Self {
            index,
            slot,
            word,
            endpoint: tables.endpoint(slot.endpoint())?,
            target: tables.target(slot.target())?,
            source: tables.source(u32::from(slot.source()))?,
        })
    }

    /// The slot of an index, and the records that it names.
    #[inline(always)]
    pub fn at<T: Tables>(tables: &'t T, index: u32) -> Option<Self> {
        let slot = tables.slot(index)?;
        Self::of(tables, index, slot, slot.word())
    }

    /// IP protocol number of the flow.
    #[inline(always)]
    pub fn protocol(&self) -> u32 {
        (self.word & word::PROTOCOL) >> word::PROTOCOL_SHIFT
    }

    /// Whether packets of this slot go from target to client.
    #[inline(always)]
    pub fn is_reverse(&self) -> bool {
        self.word & word::REVERSE != 0
    }
}

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
    if word & word::REVERSE == 0
        && let Some(meter) = tables.meter(slot.endpoint())
    {
        tables.add(&meter.flows, u32::MAX);
    }
    region.live.store(region.live.load().wrapping_sub(1));
    clear(tables, index);
    true
}

/// Frees a tomb, and those before it, if a free slot is next: no search has to go on beyond them.
#[inline(always)]
fn clear<T: Tables>(tables: &T, index: u32) {
    let home = Home::at(index);
    let (Some(slot), Some(next)) = (tables.slot(index), tables.slot(home.slot(1))) else { return };
    if next.word() & word::LIFE != word::FREE {
        return;
    }
    slot.word_cell().store(word::RESTING);
    // A look before the walk, which most often would not take a step.
    let Some(last) = tables.slot(home.slot(u32::MAX)) else { return };
    if last.word() & word::LIFE == word::TOMB {
        tables.walk(MAX_PROBES, &mut Clear { home });
    }
}
