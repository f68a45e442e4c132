//! The other direction of a flow, whose slot may stand anywhere in the table.

use super::{
    operations::Operations,
    table::{Arrival, Home, Homes, Leg, NOWHERE},
};
use crate::{
    environment::{Tables, Walk},
    wire::{Ip, Ipv4, Ipv6},
};
use privatelink_common::flow::{MAX_PROBES, Slot, word};

/// The tuple with which packets of the other direction of a flow arrive.
#[inline(always)]
fn opposite<I: Ip>(leg: &Leg<'_>) -> Arrival<I> {
    let protocol = leg.protocol();
    if leg.is_reverse() {
        Arrival {
            network: leg.endpoint.network,
            source: I::of_client(leg.slot),
            destination: I::of_endpoint(leg.endpoint),
            ports: leg.slot.consumer_ports(),
            protocol,
        }
    } else {
        Arrival {
            network: leg.target.network,
            source: I::from_addr(&leg.target.address),
            destination: I::from_addr(&leg.source.address),
            ports: leg.slot.provider_ports(),
            protocol,
        }
    }
}

/// The slots where the other direction of a flow may be at home: a far one, then a near one.
#[inline(always)]
pub fn homes_of_other<T: Tables>(tables: &T, leg: &Leg<'_>) -> (u32, u32) {
    let hash = if leg.word & word::LEAVES_V6 != 0 {
        opposite::<Ipv6>(leg).hash(tables)
    } else {
        opposite::<Ipv4>(leg).hash(tables)
    };
    let homes = Homes::of(tables, hash);
    let near = homes.near.slot(0);
    (if homes.has_far { homes.far.slot(0) } else { near }, near)
}

/// Loads the slots that a search from this home, or a removal there, looks at. Many such loads
/// overlap, while searches would wait one after the other.
#[inline(always)]
pub fn fetch<T: Tables>(tables: &T, home: u32) {
    let home = Home::at(home);
    let touch = |distance| {
        if let Some(slot) = tables.slot(home.slot(distance)) {
            slot.word();
        }
    };
    touch(0);
    touch(1);
    touch(2);
}

/// The slot of the other direction of a flow. Its packets arrive as the family in which those of
/// this one leave.
#[inline(always)]
pub fn other_slot<T: Operations>(tables: &T, leg: &Leg<'_>) -> Option<u32> {
    if leg.word & word::LEAVES_V6 != 0 {
        tables.search(&opposite::<Ipv6>(leg))
    } else {
        tables.search(&opposite::<Ipv4>(leg))
    }
}

/// [`other_slot`] for the sweep, which has loaded the homes: searches from the first one, then from
/// the second. Returns [`NOWHERE`] if there is none.
#[inline(always)]
pub fn slot_of_other<T: Tables>(tables: &T, slot: &Slot, first: u32, second: u32) -> u32 {
    let word = (slot.word() ^ word::REVERSE) & WHOSE;
    let mut search = OtherSearch { slot, word, home: Home::at(first), found: NOWHERE };
    search.run(tables);
    if search.found == NOWHERE && second != first {
        search.home = Home::at(second);
        search.run(tables);
    }
    search.found
}

/// The bits of a slot's word that name a direction of a flow: the same in both, but for the
/// direction bit.
const WHOSE: u32 = word::LIFE | word::REVERSE | word::PROTOCOL;

/// A search for the slot that says the same as another, and is of the other direction.
struct OtherSearch<'t> {
    slot: &'t Slot,
    word: u32,
    home: Home,
    found: u32,
}

impl OtherSearch<'_> {
    /// Looks at the first slots without a call for each: there it is nearly always, or not at all.
    #[inline(always)]
    fn run<T: Tables>(&mut self, tables: &T) {
        if self.step(tables, 0)
            || self.step(tables, 1)
            || self.step(tables, 2)
            || self.step(tables, 3)
        {
            return;
        }
        tables.walk(MAX_PROBES, self);
    }
}

impl<T: Tables> Walk<T> for OtherSearch<'_> {
    #[inline(always)]
    fn step(&mut self, tables: &T, number: u32) -> bool {
        let index = self.home.slot(number);
        let Some(slot) = tables.slot(index) else { return true };
        let word = slot.word();
        if word & WHOSE == self.word && slot.is_of_flow(self.slot) {
            self.found = index;
            return true;
        }
        word & word::LIFE == word::FREE
    }
}
