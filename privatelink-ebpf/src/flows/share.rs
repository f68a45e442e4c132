//! Room in the flow table: who gets it when it is short, and who gives way.
//!
//! Every endpoint has a share of the table, and a smaller one for flows that are not established.
//! While not much of the table is in use, whoever comes has what it asks for. The last eighth is
//! for endpoints with less than their shares; once that is used too, such a one gets room in place
//! of a flow of an endpoint with more. If it is within its smaller share as well, it also gets room
//! in place of a flow that is not established, of an endpoint that has too many of those. Whoever
//! has more than a share gets room only in place of another flow of its own that is not established.

use super::{account, operations::Operations, table::NOWHERE};
use crate::environment::{Tables, Walk};
use privatelink_common::{
    EndCause, Share,
    flow::{REGION_SLOTS, Slot, word},
    ticks_from_millis,
};

/// Slots that are looked at before the best flow among them gives way.
const WINDOW: u32 = 128;
/// How long a flow is kept in place of a new one of the same endpoint. Slots rest after their flows:
/// a flood that displaced its own flows as fast as it comes would have all slots rest, and nobody
/// could open any.
const OWN_AGE: u32 = ticks_from_millis(4_000);
/// Slots that are looked at while none of them may.
const MOST_LOOKS: u32 = 4 * WINDOW;

/// Counts a flow of an endpoint if there is room for it. `made` is whether another flow was displaced
/// for it.
#[inline(always)]
pub fn reserve<T: Operations>(tables: &T, endpoint: u32, made: bool) -> bool {
    let Some(occupancy) = tables.occupancy() else { return false };
    let max_flows = tables.max_flows();
    let before = tables.count_up(&occupancy.flows);
    if before >= Share::lent(max_flows) {
        let Standing { flows, share, .. } = Standing::of(tables, endpoint);
        if !(made || flows < share) || before >= max_flows {
            account::give_back(tables);
            return false;
        }
    }
    account::begin(tables, endpoint);
    true
}

/// Displaces a flow in favour of an endpoint, unless [`reserve`] finds room anyway; returns whether
/// one was displaced. `place` says at random where the search begins.
#[inline(always)]
pub fn make_room<T: Operations>(tables: &T, endpoint: u32, place: u32) -> bool {
    let Some(occupancy) = tables.occupancy() else { return false };
    let Standing { flows, unsettled, share } = Standing::of(tables, endpoint);
    let has_less = flows < share;
    let limit = if has_less { tables.max_flows() } else { Share::lent(tables.max_flows()) };
    if occupancy.flows.load() < limit {
        return false;
    }
    let claim = match (has_less, unsettled < Share::unsettled(share)) {
        (false, _) => Claim::OWN,
        (true, false) => Claim::SHARE,
        (true, true) => Claim::BOTH,
    };
    displace(tables, endpoint, claim, place)
}

/// Whether so much of the table is in use that the sweep has to hurry, so that less is refused: from
/// three quarters on.
#[inline(always)]
pub fn is_pressed<T: Tables>(tables: &T) -> bool {
    let mark = tables.max_flows() / 4 * 3;
    tables.occupancy().is_some_and(|occupancy| occupancy.flows.load() >= mark)
}

/// What an endpoint has and may have.
struct Standing {
    flows: u32,
    unsettled: u32,
    share: u32,
}

impl Standing {
    #[inline(always)]
    fn of<T: Tables>(tables: &T, endpoint: u32) -> Self {
        let share = tables.share(endpoint).map_or(0, |share| share.flows);
        let share = if share == 0 { tables.max_flows() } else { share };
        let (flows, unsettled) = tables
            .meter(endpoint)
            .map_or((0, 0), |meter| (meter.flows.load(), meter.unsettled.load()));
        Self { flows, unsettled, share }
    }
}

/// Whether an endpoint has more flows that are not established than its share of those.
#[inline(always)]
pub fn is_crowded<T: Tables>(tables: &T, endpoint: u32) -> bool {
    let Standing { unsettled, share, .. } = Standing::of(tables, endpoint);
    unsettled > Share::unsettled(share)
}

/// Which flows give way to one of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Claim(u32);

impl Claim {
    /// It has its share: its own that are not established, after a while.
    const OWN: Self = Self(0);
    /// It has less than its share: those of endpoints with more than theirs.
    const SHARE: Self = Self(1);
    /// It has less than its smaller share, too: also those beyond the smaller share of others.
    const BOTH: Self = Self(2);
}

/// Ends a flow in whose place another of this endpoint may come; returns whether there was one.
#[inline(always)]
fn displace<T: Operations>(tables: &T, endpoint: u32, claim: Claim, place: u32) -> bool {
    let slots = tables.regions().wrapping_mul(REGION_SLOTS);
    let first = ((u64::from(place) * u64::from(slots)) >> 32) as u32;
    let now = tables.now();
    let mut search = Search { first, slots, endpoint, claim, now, rank: 0, found: NOWHERE };
    // An endpoint that has its share pays for what it asks for beyond: one window of its own.
    let looks = if claim == Claim::OWN { WINDOW } else { MOST_LOOKS };
    tables.walk(if slots < looks { slots } else { looks }, &mut search);
    if search.found == NOWHERE || !tables.end_flow(search.found, EndCause::Displaced as u32) {
        return false;
    }
    if let Some(occupancy) = tables.occupancy() {
        tables.add(&occupancy.displaced, 1);
    }
    true
}

/// The search for the flow that gives way: not established before established, silent for long
/// before others.
struct Search {
    first: u32,
    slots: u32,
    endpoint: u32,
    claim: Claim,
    now: u32,
    rank: u64,
    found: u32,
}

impl<T: Tables> Walk<T> for Search {
    #[inline(always)]
    fn step(&mut self, tables: &T, number: u32) -> bool {
        let at = self.first.wrapping_add(number);
        let index = if at >= self.slots { at.wrapping_sub(self.slots) } else { at };
        if let Some(slot) = tables.slot(index) {
            let rank = self.rank(tables, slot);
            if rank > self.rank {
                (self.rank, self.found) = (rank, index);
            }
        }
        number % WINDOW == WINDOW - 1 && self.found != NOWHERE
    }
}

impl Search {
    /// How gladly a flow is ended; zero is not at all.
    #[inline(always)]
    fn rank<T: Tables>(&self, tables: &T, slot: &Slot) -> u64 {
        let word = slot.word();
        if word & (word::LIFE | word::REVERSE) != word::LIVE {
            return 0;
        }
        let endpoint = slot.endpoint();
        let is_settled = word & word::UNSETTLED == 0;
        let gives_way = if self.claim == Claim::OWN {
            endpoint == self.endpoint && !is_settled
        } else {
            let Standing { flows, unsettled, share } = Standing::of(tables, endpoint);
            let crowds = !is_settled && unsettled > Share::unsettled(share);
            flows > share || self.claim == Claim::BOTH && crowds
        };
        if !gives_way {
            return 0;
        }
        let age = self.now.wrapping_sub(slot.last_seen()).cast_signed();
        let age = if age < 0 { 0 } else { age.cast_unsigned() };
        if self.claim == Claim::OWN && age < OWN_AGE {
            return 0;
        }
        1 << 33 | u64::from(!is_settled) << 32 | u64::from(age)
    }
}
