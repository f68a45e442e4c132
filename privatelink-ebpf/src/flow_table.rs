//! The flow table: open addressing in regions of 256 slots.
//!
//! A search starts at the tuple's home slot and goes on, around the region, to the first free
//! slot. Searches take no lock. Insertions and removals hold their region's lock, so a tuple is
//! claimed once, whichever CPUs race for it. A removed slot rests for a second before it is
//! used again, because another CPU may just have found it.

use crate::{
    tables::{Tables, Walk},
    wire::Ip,
};
use privatelink_common::{
    Endpoint, Source, Target,
    flow::{Content, MAX_PROBES, REGION_LIMIT, REGION_SLOTS, REST_TICKS, RegionCell, Slot, word},
    hash,
};

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

/// Where a tuple's search begins.
#[derive(Clone, Copy)]
pub struct Home {
    /// The region.
    pub region: u32,
    /// The slot within it.
    offset: u32,
}

impl Home {
    /// The slot at a distance from home.
    #[inline(always)]
    fn slot(self, distance: u32) -> u32 {
        self.region * REGION_SLOTS + (self.offset.wrapping_add(distance) & (REGION_SLOTS - 1))
    }
}

/// Probes of the fast path: nineteen in twenty flows are that near in a table at its limit.
pub const NEAR: u32 = 8;
/// Attempts to take a region's lock; it is held for well under a microsecond.
const LOCK_ATTEMPTS: u32 = 4096;

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

    /// The place that a hash stands for.
    #[inline(always)]
    pub fn home<T: Tables>(tables: &T, hash: u64) -> Home {
        let region = ((hash >> 32) * u64::from(tables.regions())) >> 32;
        Home { region: region as u32, offset: hash as u32 }
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

    /// The flow that this tuple belongs to, if it is within `probes` slots of its home.
    #[inline(always)]
    pub fn find<'t, T: Tables>(&self, tables: &'t T, probes: u32) -> Option<Found<'t>> {
        let home = Self::home(tables, self.hash(tables));
        for distance in 0..probes {
            let index = home.slot(distance);
            let slot = tables.slot(index)?;
            if let Some(found) = self.matches(tables, index, slot) {
                return Some(found);
            }
            if slot.word() & word::LIFE == word::FREE {
                return None;
            }
        }
        None
    }

    /// Index of the slot that this tuple belongs to, however far it is.
    #[inline(always)]
    pub fn search<T: Tables>(&self, tables: &T) -> Option<u32> {
        let home = Self::home(tables, self.hash(tables));
        let mut probe = Probe::new(self, home, 0, 0);
        tables.walk(MAX_PROBES, &mut probe);
        (probe.found != NOWHERE).then_some(probe.found)
    }

    /// Enters one direction of a flow, whose packets arrive with this tuple: `word` says what it
    /// is, `content` the rest.
    #[inline(always)]
    pub fn insert<T: Tables>(
        &self,
        tables: &T,
        word: u32,
        content: &Content,
    ) -> Result<u32, Taken> {
        let home = Self::home(tables, self.hash(tables));
        let region = tables.region(home.region).ok_or(Taken::Full)?;
        lock(tables, region).ok_or(Taken::Contended)?;
        let result = self.insert_locked(tables, home, region, word, content);
        unlock(tables, region);
        result
    }

    #[inline(always)]
    fn insert_locked<T: Tables>(
        &self,
        tables: &T,
        home: Home,
        region: &RegionCell,
        word: u32,
        content: &Content,
    ) -> Result<u32, Taken> {
        let used = region.used.load();
        let spare = REGION_LIMIT.saturating_sub(used);
        let mut probe = Probe::new(self, home, tables.now(), spare);
        tables.walk(MAX_PROBES, &mut probe);
        let used = used + (spare - probe.spare);
        region.used.store(used);
        if probe.found != NOWHERE {
            return Err(Taken::Exists);
        }
        let room = probe.room;
        let slot = tables.slot(room).ok_or(Taken::Full)?;
        let old = slot.word();
        let fresh = old & word::LIFE == word::FREE;
        if fresh && used >= REGION_LIMIT {
            return Err(Taken::Full);
        }
        // Each exchange is a barrier: the content is seen by nobody before the word says so.
        if !tables.exchange(slot.word_cell(), old, word::BUSY) {
            return Err(Taken::Contended);
        }
        slot.fill(content);
        if !tables.exchange(slot.word_cell(), word::BUSY, word | word::LIVE) {
            return Err(Taken::Contended);
        }
        if fresh {
            region.used.store(used + 1);
        }
        Ok(room)
    }
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

    /// Whether packets of this slot go from target to client.
    #[inline(always)]
    pub fn is_reverse(&self) -> bool {
        self.word & word::REVERSE != 0
    }
}

/// The tuple with which packets of the other direction of a flow arrive.
#[inline(always)]
pub fn opposite<I: Ip>(found: &Found<'_>) -> Arrival<I> {
    let protocol = (found.word & word::PROTOCOL) >> word::PROTOCOL_SHIFT;
    if found.is_reverse() {
        Arrival {
            network: found.endpoint.network,
            source: I::of_client(found.slot),
            destination: I::of_endpoint(found.endpoint),
            ports: found.slot.consumer_ports(),
            protocol,
        }
    } else {
        Arrival {
            network: found.target.network,
            source: I::from_addr(&found.target.address),
            destination: I::from_addr(&found.source.address),
            ports: found.slot.provider_ports(),
            protocol,
        }
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
    let home = Home { region: index / REGION_SLOTS, offset: index };
    let Some(next) = tables.slot(home.slot(1)) else { return false };
    if next.word() & word::LIFE == word::FREE {
        let mut clear = Clear { home, region_used: 0 };
        tables.walk(MAX_PROBES, &mut clear);
        let used = region.used.load();
        region.used.store(used.wrapping_sub(clear.region_used));
    }
    true
}

/// Frees the tombs before a free slot: no search needs to go on beyond them.
struct Clear {
    home: Home,
    region_used: u32,
}

impl Walk for Clear {
    #[inline(always)]
    fn step<T: Tables>(&mut self, tables: &T, number: u32) -> bool {
        let Some(slot) = tables.slot(self.home.slot(0u32.wrapping_sub(number))) else {
            return true;
        };
        if slot.word() & word::LIFE != word::TOMB {
            return true;
        }
        slot.word_cell().store(word::RESTING);
        self.region_used += 1;
        false
    }
}

const NOWHERE: u32 = u32::MAX;

/// A search along the probe sequence, for the tuple and for room.
struct Probe<'k, I: Ip> {
    key: &'k Arrival<I>,
    home: Home,
    now: u32,
    /// Index of the slot that holds the tuple.
    found: u32,
    /// Index of the first slot that may be used.
    room: u32,
    /// How many free slots may be made tombs to get past them; none in a search.
    spare: u32,
}

impl<'k, I: Ip> Probe<'k, I> {
    #[inline(always)]
    fn new(key: &'k Arrival<I>, home: Home, now: u32, spare: u32) -> Self {
        Self { key, home, now, found: NOWHERE, room: NOWHERE, spare }
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
            if self.room != NOWHERE || self.spare == 0 {
                return true;
            }
            // It rests: room is further on, where a search must come to.
            slot.word_cell().store(word::TOMB);
            self.spare -= 1;
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

#[inline(always)]
fn lock<T: Tables>(tables: &T, region: &RegionCell) -> Option<()> {
    if tables.exchange(&region.lock, 0, 1) {
        return Some(());
    }
    let mut lock = Lock { region, held: false };
    tables.walk(LOCK_ATTEMPTS, &mut lock);
    lock.held.then_some(())
}

#[inline(always)]
fn unlock<T: Tables>(tables: &T, region: &RegionCell) {
    // The exchange, rather than a store, is the barrier that ends the critical section.
    let _released = tables.exchange(&region.lock, 1, 0);
}
