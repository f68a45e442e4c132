//! Ends flows: those that have been silent for too long, and those that may not go on.
//!
//! User space runs this region by region: no packet pays for it, and none waits for it.

use crate::{
    flow_table::{Found, other_slot},
    policy::is_allowed,
    tables::{Tables, Walk},
};
use privatelink_common::{
    Addr, Admission, EndCause, ListenerKey, TargetState,
    flow::{Phase, REGION_SLOTS, Slot, word},
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
        if slot.word() & word::LIFE == word::LIVE && end_for_cause(tables, index).is_some() {
            self.ended = self.ended.wrapping_add(1);
        }
        false
    }
}

/// Takes both directions of a flow out of use if there is a cause to, and tells user space.
#[inline(never)]
fn end_for_cause<T: Tables>(tables: &T, index: u32) -> Option<()> {
    let found = Found::at(tables, index)?;
    let refused = refused(tables, &found);
    // One direction that is not silent is enough. Nearly every flow is known to live by this, so
    // that the other direction, somewhere in the table, is not searched for.
    if refused.is_none() && !is_silent(tables, found.slot.last_seen(), patience(tables, &found)) {
        return None;
    }
    let other = other_slot(tables, &found);
    let cause = match refused {
        Some(cause) => cause,
        None if other
            .and_then(|index| tables.slot(index))
            .is_some_and(|slot| !is_silent(tables, slot.last_seen(), patience(tables, &found))) =>
        {
            return None;
        }
        None => silence(found.word),
    };
    let other = other.unwrap_or(NO_SLOT);
    let (forward, reverse) = if found.is_reverse() { (other, index) } else { (index, other) };
    end(tables, forward, reverse, cause)
}

/// The index of no slot.
const NO_SLOT: u32 = u32::MAX;

/// Ends a flow whose client uses its tuple anew, by the index of its direction from the client.
pub fn end_closed<T: Tables>(tables: &T, index: u32) -> Option<()> {
    let found = Found::at(tables, index)?;
    end(tables, index, other_slot(tables, &found).unwrap_or(NO_SLOT), EndCause::Closed)
}

/// Takes a flow out of use and tells user space, once: what could not be taken out of use has not
/// ended.
#[inline(never)]
fn end<T: Tables>(tables: &T, forward: u32, reverse: u32, cause: EndCause) -> Option<()> {
    let reply = tables.slot(reverse);
    let word_out = reply.map_or(0, Slot::word);
    if let Some(found) = Found::at(tables, forward) {
        let seen = found.slot.last_seen();
        let seen = reply.map_or(seen, |reply| later(seen, reply.last_seen()));
        let last = Last { word: found.word, word_out, seen, cause: cause as u32 };
        if !tables.remove(forward, found.word) {
            return None;
        }
        tell(tables, &found, reply, &last);
    }
    if reply.is_some() {
        tables.remove(reverse, word_out);
    }
    Some(())
}

/// What a flow's slots said last; a slot that is not in use says other things.
struct Last {
    word: u32,
    word_out: u32,
    seen: u32,
    cause: u32,
}

/// The later of two ticks.
#[inline(always)]
fn later(a: u32, b: u32) -> u32 {
    if a.wrapping_sub(b).cast_signed() >= 0 { a } else { b }
}

/// Why a flow may not go on, if it may not.
#[inline(always)]
fn refused<T: Tables>(tables: &T, found: &Found<'_>) -> Option<EndCause> {
    if !Admission::carries(found.endpoint.admission) {
        return Some(EndCause::NotAdmitted);
    }
    if found.target.state != TargetState::Present as u32 {
        return Some(EndCause::TargetGone);
    }
    if found.source.gone != 0 {
        return Some(EndCause::SourceGone);
    }
    if found.endpoint.rule_count == 0 {
        return None;
    }
    let client = Addr::from_words(found.slot.client());
    let [_, _, high, low] = found.slot.consumer_ports().to_ne_bytes();
    let port = u16::from_be_bytes([high, low]);
    (!is_allowed(tables, found.endpoint, &client, port)).then_some(EndCause::NotAllowed)
}

/// What it means that a flow has been silent for too long.
#[inline(always)]
fn silence(word: u32) -> EndCause {
    match Phase::of(word) {
        Phase::Opening | Phase::Answered => EndCause::Unanswered,
        Phase::Closing => EndCause::Closed,
        Phase::Established | Phase::HalfClosed => EndCause::Idle,
    }
}

/// Tells user space what there was, and counts it at the target.
#[inline(never)]
fn tell<T: Tables>(tables: &T, found: &Found<'_>, reply: Option<&Slot>, last: &Last) {
    let (bytes_in, packets_in) = found.slot.counted();
    let (bytes_out, packets_out) = reply.map_or((0, 0), Slot::counted);
    tables.ended(|end| {
        end.flow = found.slot.load();
        end.flow.word = last.word;
        end.flow.last_seen = last.seen;
        end.endpoint = *found.endpoint;
        end.target = *found.target;
        end.source = found.source.address;
        end.last_seen = last.seen;
        end.cause = last.cause;
        end.word_out = last.word_out;
        (end.bytes_out, end.packets_out) = (bytes_out, packets_out);
    });
    tables.count_target(found.slot.target(), |count| {
        count.ended += 1;
        count.packets_in += u64::from(packets_in);
        count.bytes_in += bytes_in;
        count.packets_out += u64::from(packets_out);
        count.bytes_out += bytes_out;
    });
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
