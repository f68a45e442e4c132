//! The search for a tuple: along the slots from its homes.

use super::{
    arrival::Arrival,
    leg::Leg,
    region::{Home, NOWHERE},
};
use crate::{
    environment::{Tables, Walk},
    wire::Ip,
};
use privatelink_common::flow::{MAX_PROBES, NEAR_REGIONS, REST_TICKS, Slot, word};

/// Probes of the fast path: few flows are farther from their home.
pub const NEAR: u32 = 8;

/// The two homes of a tuple.
#[derive(Clone, Copy)]
pub struct Homes {
    /// In one of the near regions.
    pub near: Home,
    /// In one of the far regions.
    pub far: Home,
    /// Whether the table is so large that there are far regions.
    pub has_far: bool,
}

impl Homes {
    /// The homes of a tuple with this hash.
    #[inline(always)]
    pub fn of<T: Tables>(tables: &T, hash: u64) -> Self {
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

impl<I: Ip> Arrival<I> {
    /// What the word of a slot must show for this tuple.
    #[inline(always)]
    fn expected_word(&self) -> u32 {
        word::LIVE | I::ARRIVES | self.protocol << word::PROTOCOL_SHIFT
    }

    /// Whether a slot is this tuple's.
    #[inline(always)]
    fn matches<'t, T: Tables>(&self, tables: &'t T, index: u32, slot: &'t Slot) -> Option<Leg<'t>> {
        let word = slot.word();
        if word & word::MATCH != self.expected_word() {
            return None;
        }
        let reverse = word & word::REVERSE != 0;
        let ports = if reverse { slot.provider_ports() } else { slot.consumer_ports() };
        if ports != self.ports {
            return None;
        }
        let leg = Leg::of(tables, index, slot, word)?;
        let same = if reverse {
            leg.target.network == self.network
                && I::from_addr(&leg.target.address) == self.source
                && I::from_addr(&leg.source.address) == self.destination
        } else {
            leg.endpoint.network == self.network
                && I::of_client(slot) == self.source
                && I::of_endpoint(leg.endpoint) == self.destination
        };
        same.then_some(leg)
    }

    /// The flow that this tuple belongs to, if it is within `probes` slots of a home.
    #[inline(always)]
    pub fn find<'t, T: Tables>(&self, tables: &'t T, probes: u32) -> Option<Leg<'t>> {
        let homes = Homes::of(tables, self.hash(tables));
        let mut home = homes.near;
        for _ in 0..1 + u32::from(homes.has_far) {
            for distance in 0..probes {
                let index = home.slot(distance);
                let slot = tables.slot(index)?;
                if let Some(leg) = self.matches(tables, index, slot) {
                    return Some(leg);
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
}

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

impl<I: Ip, T: Tables> Walk<T> for Probe<'_, I> {
    #[inline(always)]
    fn step(&mut self, tables: &T, number: u32) -> bool {
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
            // The slot rests. Room is further on, and a search must get there past this slot.
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
