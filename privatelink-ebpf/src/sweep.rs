//! Ends flows that have been silent for too long.
//!
//! User space runs this region by region: no packet pays for it, and none waits for it.

use crate::{
    flow_table::{Found, opposite},
    tables::{Tables, Walk},
    wire::{Ipv4, Ipv6},
};
use privatelink_common::{
    ListenerKey,
    flow::{Phase, REGION_SLOTS, word},
    ticks_from_millis,
};

/// How long a flow may take to be established.
const OPENING: u32 = ticks_from_millis(20_000);
/// How long a flow that has ended is kept for its last packets.
const CLOSING: u32 = ticks_from_millis(10_000);

/// Sweeps a number of regions from the first one on; returns how many flows were ended.
#[inline(always)]
pub fn sweep<T: Tables>(tables: &T, first: u32, regions: u32) -> u32 {
    let mut sweep = Regions { first, ended: 0 };
    tables.walk(regions, &mut sweep);
    sweep.ended
}

struct Regions {
    first: u32,
    ended: u32,
}

impl Walk for Regions {
    #[inline(always)]
    fn step<T: Tables>(&mut self, tables: &T, number: u32) -> bool {
        let region = self.first.wrapping_add(number);
        let Some(cell) = tables.region(region) else { return true };
        if cell.live.load() != 0 {
            let mut slots = Slots { first: region * REGION_SLOTS, ended: 0 };
            tables.walk(REGION_SLOTS, &mut slots);
            self.ended = self.ended.wrapping_add(slots.ended);
        }
        false
    }
}

struct Slots {
    first: u32,
    ended: u32,
}

impl Walk for Slots {
    #[inline(always)]
    fn step<T: Tables>(&mut self, tables: &T, number: u32) -> bool {
        let index = self.first.wrapping_add(number);
        let Some(slot) = tables.slot(index) else { return true };
        if slot.word() & word::LIFE == word::LIVE && end_if_silent(tables, index).is_some() {
            self.ended = self.ended.wrapping_add(1);
        }
        false
    }
}

/// Takes both directions of a flow out of use if neither has seen a packet for too long.
#[inline(never)]
fn end_if_silent<T: Tables>(tables: &T, index: u32) -> Option<()> {
    let found = Found::at(tables, index)?;
    let patience = patience(tables, &found);
    if !is_silent(tables, found.slot.last_seen(), patience) {
        return None;
    }
    let other = if found.word & word::LEAVES_V6 != 0 {
        tables.search(&opposite::<Ipv6>(&found))
    } else {
        tables.search(&opposite::<Ipv4>(&found))
    };
    if let Some(other) = other {
        let slot = tables.slot(other)?;
        let word = slot.word();
        if !is_silent(tables, slot.last_seen(), patience) {
            return None;
        }
        tables.remove(other, word);
    }
    tables.remove(index, found.word).then_some(())
}

/// Whether a packet at `seen` is longer ago than `patience`; one just now may even be ahead.
#[inline(always)]
fn is_silent<T: Tables>(tables: &T, seen: u32, patience: u32) -> bool {
    let age = tables.now().wrapping_sub(seen).cast_signed();
    age >= 0 && age.cast_unsigned() > patience
}

/// How long a flow in its phase may be silent.
#[inline(always)]
fn patience<T: Tables>(tables: &T, found: &Found<'_>) -> u32 {
    match Phase::of(found.word) {
        Phase::Opening | Phase::Answered => OPENING,
        Phase::Closing => CLOSING,
        Phase::Established | Phase::HalfClosed => {
            let [_, _, high, low] = found.slot.consumer_ports().to_ne_bytes();
            let key = ListenerKey {
                service: found.endpoint.service,
                port: u16::from_ne_bytes([high, low]),
                protocol: ((found.word & word::PROTOCOL) >> word::PROTOCOL_SHIFT) as u16,
            };
            // Without its listener a flow ends as if it never was established.
            tables.listener(&key).map_or(OPENING, |listener| listener.idle_ticks)
        }
    }
}
