//! Ends flows: those that have been silent for too long, and those that may not go on.
//!
//! User space runs this region by region, so no packet waits for it.

use super::{
    operations::Operations,
    other::{fetch, homes_of_other, other_slot, slot_of_other},
    share::{is_crowded, is_pressed},
    table::{Leg, remove},
};
use crate::environment::{Tables, Walk};
use privatelink_common::{
    Admission, End, EndCause, ListenerKey, Scratch, Suspect, TCP, TargetState, UDP,
    flow::{Phase, REGION_SLOTS, Slot, word},
    ticks_from_millis,
};

/// How long a flow may take to be established.
const OPENING: u32 = ticks_from_millis(20_000);
/// How long a flow that has ended is kept for its last packets.
const CLOSING: u32 = ticks_from_millis(10_000);
/// How long both ends are silent after an RST of one before the other is asked.
const DOUBTING: u32 = ticks_from_millis(2_000);

/// How long a flow that is not established is kept while the table is short of room, if its
/// endpoint has too many such. A SYN is sent again within this time.
const PRESSED: u32 = ticks_from_millis(5_000);

/// Sweeps a number of regions from the first one on; returns how many flows were ended.
#[inline(always)]
pub fn sweep<T: Operations>(tables: &T, first: u32, regions: u32) -> u32 {
    sweep_regions(tables, first, regions, true)
}

/// Sweeps as [`sweep`] does, but asks the security rules of each flow only `with_rules`: they are
/// asked when a flow is opened, and again only after they have changed.
#[inline(always)]
pub fn sweep_regions<T: Operations>(tables: &T, first: u32, regions: u32, with_rules: bool) -> u32 {
    let mut sweep = Regions { first, with_rules, ended: 0 };
    tables.walk(regions, &mut sweep);
    sweep.ended
}

struct Regions {
    first: u32,
    with_rules: bool,
    ended: u32,
}

impl<T: Operations> Walk<T> for Regions {
    #[inline(always)]
    fn step(&mut self, tables: &T, number: u32) -> bool {
        let region = self.first.wrapping_add(number);
        let Some(cell) = tables.region(region) else { return true };
        if cell.live.load() == 0 {
            return false;
        }
        let Some(Scratch { suspects: noted, .. }) = tables.scratch() else { return true };
        noted.store(0);
        let mut suspects = Suspects::of(region, self.with_rules);
        tables.walk(REGION_SLOTS / LOOKS, &mut suspects);
        let count = noted.load();
        if count == 0 {
            return false;
        }
        tables.walk(count.div_ceil(FETCHES), &mut Fetch);
        let mut ends = Ends { ended: 0 };
        tables.walk(count, &mut ends);
        self.ended = self.ended.wrapping_add(ends.ended);
        false
    }
}

/// Notes which slots of a region are of flows that may have to end.
///
/// A flow lives while one of its directions is not silent. This shows most live flows to be alive
/// without a search for the other direction, which may be anywhere in the table.
struct Suspects {
    /// The first slot of the region.
    first: u32,
    /// Whether security rules are asked.
    with_rules: bool,
    /// The listener of the last look-up, and how long its flows may be silent.
    listener: ListenerKey,
    idle: u32,
}

/// Slots that one step looks at: the call of a step costs as much as a look.
const LOOKS: u32 = 4;

impl<T: Operations> Walk<T> for Suspects {
    #[inline(always)]
    fn step(&mut self, tables: &T, number: u32) -> bool {
        let first = self.first + number * LOOKS;
        self.look(tables, first)
            || self.look(tables, first + 1)
            || self.look(tables, first + 2)
            || self.look(tables, first + 3)
    }
}

impl Suspects {
    #[inline(always)]
    fn of(region: u32, with_rules: bool) -> Self {
        let listener = ListenerKey { service: 0, port: 0, protocol: 0 };
        Self { first: region * REGION_SLOTS, with_rules, listener, idle: OPENING }
    }

    /// Whether there is no further slot.
    #[inline(always)]
    fn look<T: Operations>(&mut self, tables: &T, index: u32) -> bool {
        let Some(slot) = tables.slot(index) else { return true };
        if slot.word() & word::LIFE != word::LIVE {
            return false;
        }
        let Some(leg) = Leg::at(tables, index) else { return false };
        let cause = refused(tables, &leg, self.with_rules);
        let mut patience = 0;
        if cause == Suspect::SILENCE {
            patience = self.patience(tables, &leg);
            if !is_silent(tables, slot, patience) {
                return false;
            }
        }
        // The count lies in a map: the verifier would follow a local variable from zero up.
        let Some(Scratch { suspects, .. }) = tables.scratch() else { return true };
        let Some(suspect) = tables.suspect(suspects.load()) else { return true };
        suspects.store(suspects.load().wrapping_add(1));
        let (far, near) = homes_of_other(tables, &leg);
        suspect.slot.store(index);
        suspect.far.store(far);
        suspect.near.store(near);
        suspect.patience.store(patience);
        suspect.cause.store(cause);
        false
    }

    /// How long a flow in its phase may be silent.
    #[inline(always)]
    fn patience<T: Tables>(&mut self, tables: &T, leg: &Leg<'_>) -> u32 {
        if must_ask(leg.word) {
            return DOUBTING;
        }
        if leg.word & word::DOUBT != 0 {
            return CLOSING;
        }
        let phase = Phase::of(leg.word);
        let is_unsettled = leg.word & word::UNSETTLED != 0;
        if is_unsettled && is_pressed(tables) && is_crowded(tables, leg.slot.endpoint()) {
            return PRESSED;
        }
        match phase {
            Phase::Opening | Phase::Answered if leg.protocol() == u32::from(TCP) => OPENING,
            Phase::Closing => CLOSING,
            Phase::Opening | Phase::Answered | Phase::Established | Phase::HalfClosed => {
                let [_, _, high, low] = leg.slot.consumer_ports().to_ne_bytes();
                let listener = ListenerKey {
                    service: leg.endpoint.service,
                    port: u16::from_ne_bytes([high, low]),
                    protocol: leg.protocol() as u16,
                };
                // Most often it is that of the flow before.
                if listener != self.listener {
                    self.listener = listener;
                    // Without its listener a flow ends as if it never was established.
                    let idle = tables.listener(&listener).map(|listener| listener.idle_ticks);
                    self.idle = idle.unwrap_or(OPENING);
                }
                self.idle
            }
        }
    }
}

/// Loads the homes of the suspects' other directions into the processor's cache.
struct Fetch;

/// Suspects of one step.
const FETCHES: u32 = 8;

impl<T: Tables> Walk<T> for Fetch {
    #[inline(always)]
    fn step(&mut self, tables: &T, number: u32) -> bool {
        // Unrolled by hand: the verifier finds no bound for the loop that the compiler makes of it.
        let fetch = |further| {
            if let Some(suspect) = tables.suspect(number * FETCHES + further) {
                fetch(tables, suspect.far.load());
            }
        };
        fetch(0);
        fetch(1);
        fetch(2);
        fetch(3);
        fetch(4);
        fetch(5);
        fetch(6);
        fetch(7);
        false
    }
}

/// Ends the suspects' flows, except those whose other direction is still in use.
struct Ends {
    ended: u32,
}

impl<T: Tables> Walk<T> for Ends {
    #[inline(always)]
    fn step(&mut self, tables: &T, number: u32) -> bool {
        let Some(suspect) = tables.suspect(number) else { return true };
        let index = suspect.slot.load();
        let Some(slot) = tables.slot(index) else { return true };
        let word = slot.word();
        // Already removed, if the other direction was a suspect of this region, too.
        if word & word::LIFE != word::LIVE {
            return false;
        }
        let other = slot_of_other(tables, slot, suspect.far.load(), suspect.near.load());
        let is_reverse = word & word::REVERSE != 0;
        let (forward, reverse) = if is_reverse { (other, index) } else { (index, other) };
        let mut cause = suspect.cause.load();
        if cause == Suspect::SILENCE {
            // The step of the other direction may have asked an end just now.
            let patience = if word & word::ASKED != 0 { CLOSING } else { suspect.patience.load() };
            let speaks = |slot: Option<&Slot>| {
                slot.is_some_and(|slot| keeps_alive(slot) && !is_silent(tables, slot, patience))
            };
            if speaks(Some(slot)) || speaks(tables.slot(other)) {
                return false;
            }
            if must_ask(word) {
                ask(tables, forward, reverse);
                return false;
            }
            cause = silence(word) as u32;
        }
        let ended = end(tables, forward, reverse, cause, |index, word| remove(tables, index, word));
        if ended.is_some() {
            self.ended = self.ended.wrapping_add(1);
        }
        false
    }
}

/// Whether a flow may be alive although one of its ends has sent RST, and the other has not been
/// asked.
#[inline(always)]
fn must_ask(word: u32) -> bool {
    word & word::DOUBT != 0
        && word & word::ASKED == 0
        && matches!(Phase::of(word), Phase::Established | Phase::HalfClosed)
}

/// Has user space ask the end that has not said RST. If it still knows the connection, its answer
/// ends the doubt; if not, it answers with RST, and then both have.
#[inline(always)]
fn ask<T: Tables>(tables: &T, forward: u32, reverse: u32) {
    let Some(leg) = Leg::at(tables, forward) else { return };
    let Some(reply) = tables.slot(reverse) else { return };
    let word_out = reply.word();
    // If a packet changes a word at this moment, the flow is no longer silent, or the next sweep
    // asks again.
    if !tables.exchange(leg.slot.word_cell(), leg.word, leg.word | word::ASKED) {
        return;
    }
    tables.exchange(reply.word_cell(), word_out, word_out | word::ASKED);
    let last = Last { word: leg.word, word_out, seen: leg.slot.last_seen(), cause: End::DOUBTED };
    report(tables, &leg, Some(reply), &last);
}

/// The index of no slot.
const NO_SLOT: u32 = u32::MAX;

/// Ends a flow before the sweep finds it: a closed one whose client opens another with the same
/// tuple, or one that is displaced. `index` is that of the direction from the client.
pub fn end_flow<T: Operations>(tables: &T, index: u32, cause: u32) -> Option<()> {
    let leg = Leg::at(tables, index)?;
    let other = other_slot(tables, &leg).unwrap_or(NO_SLOT);
    end(tables, index, other, cause, |index, word| tables.remove(index, word))
}

/// Removes a flow and reports its end to user space, once: a flow that cannot be removed now has
/// not ended.
#[inline(always)]
fn end<T: Tables>(
    tables: &T,
    forward: u32,
    reverse: u32,
    cause: u32,
    remove: impl Fn(u32, u32) -> bool,
) -> Option<()> {
    let reply = tables.slot(reverse);
    let word_out = reply.map_or(0, Slot::word);
    if let Some(leg) = Leg::at(tables, forward) {
        let seen = leg.slot.last_seen();
        let seen = reply.map_or(seen, |reply| later(seen, reply.last_seen()));
        let last = Last { word: leg.word, word_out, seen, cause };
        if !remove(forward, leg.word) {
            return None;
        }
        tell(tables, &leg, reply, &last);
    }
    if reply.is_some() {
        remove(reverse, word_out);
    }
    Some(())
}

/// What a flow's slots held before they were removed: a removed slot's word and times mean
/// something else.
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

/// The [`EndCause`] for which a flow may not go on, or [`Suspect::SILENCE`] if it may.
#[inline(always)]
fn refused<T: Operations>(tables: &T, leg: &Leg<'_>, with_rules: bool) -> u32 {
    if !Admission::carries(leg.endpoint.admission) {
        return EndCause::NotAdmitted as u32;
    }
    if leg.target.state != TargetState::Present as u32 {
        return EndCause::TargetGone as u32;
    }
    if leg.source.gone != 0 {
        return EndCause::SourceGone as u32;
    }
    if with_rules && !tables.allows(leg.index) {
        return EndCause::NotAllowed as u32;
    }
    Suspect::SILENCE
}

/// Whether the packets of a direction keep its flow alive. Nothing in UDP shows that a client still
/// listens, so those from a target do not: it could hold the flow, and a place among those that the
/// consumer may have, for ever.
#[inline(always)]
fn keeps_alive(slot: &Slot) -> bool {
    const FROM_TARGET: u32 = word::REVERSE | (UDP as u32) << word::PROTOCOL_SHIFT;
    slot.word() & (word::REVERSE | word::PROTOCOL) != FROM_TARGET
}

/// The protocol of TCP as a word holds it.
const TCP_WORD: u32 = (TCP as u32) << word::PROTOCOL_SHIFT;

/// What it means that a flow has been silent for too long.
#[inline(always)]
fn silence(word: u32) -> EndCause {
    if word & word::DOUBT != 0 {
        return EndCause::Closed;
    }
    match Phase::of(word) {
        Phase::Opening | Phase::Answered if word & word::PROTOCOL == TCP_WORD => {
            EndCause::Unanswered
        }
        Phase::Closing => EndCause::Closed,
        Phase::Opening | Phase::Answered | Phase::Established | Phase::HalfClosed => EndCause::Idle,
    }
}

/// Reports the ended flow to user space, and counts it at the target.
#[inline(always)]
fn tell<T: Tables>(tables: &T, leg: &Leg<'_>, reply: Option<&Slot>, last: &Last) {
    report(tables, leg, reply, last);
    let (bytes_in, packets_in) = leg.slot.counted();
    let (bytes_out, packets_out) = reply.map_or((0, 0), Slot::counted);
    tables.count_target(leg.slot.target(), |count| {
        count.ended += 1;
        count.packets_in += u64::from(packets_in);
        count.bytes_in += bytes_in;
        count.packets_out += u64::from(packets_out);
        count.bytes_out += bytes_out;
    });
}

/// Reports a flow to user space.
#[inline(never)]
fn report<T: Tables>(tables: &T, leg: &Leg<'_>, reply: Option<&Slot>, last: &Last) {
    let (bytes_out, packets_out) = reply.map_or((0, 0), Slot::counted);
    tables.ended(|end| {
        end.flow = leg.slot.load();
        end.flow.word = last.word;
        end.flow.last_seen = last.seen;
        end.endpoint = *leg.endpoint;
        end.target = *leg.target;
        end.source = leg.source.address;
        end.last_seen = last.seen;
        end.cause = last.cause;
        end.word_out = last.word_out;
        (end.bytes_out, end.packets_out) = (bytes_out, packets_out);
    });
}

/// Whether the last packet is longer ago than `patience`; one just now may even be ahead.
#[inline(always)]
fn is_silent<T: Tables>(tables: &T, slot: &Slot, patience: u32) -> bool {
    let age = tables.now().wrapping_sub(slot.last_seen()).cast_signed();
    age >= 0 && age.cast_unsigned() > patience
}
