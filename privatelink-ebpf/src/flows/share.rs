//! Admission to the flow table by shares, and displacement when the table is full.
//!
//! Every endpoint has a share of the table, and a smaller one for flows that are not established.
//! Until seven eighths of the table are in use, every flow is admitted. The last eighth is for
//! endpoints below their shares. Once it is used too, a flow of such an endpoint displaces one of an
//! endpoint above its share. If the endpoint is below its smaller share as well, it may also displace
//! a flow that is not established, of an endpoint that has too many of those. A flow of an endpoint
//! that has its share displaces only another flow of the same endpoint that is not established.

use super::{account, operations::Operations, table::NOWHERE};
use crate::environment::{Tables, Walk};
use privatelink_common::{
    EndCause, Share,
    flow::{REGION_SLOTS, Slot, word},
    ticks_from_millis,
};

/// Number of slots among which the best flow to displace is chosen.
const WINDOW: u32 = 128;
/// Age below which a flow is not displaced by a new one of the same endpoint. A slot cannot be used
/// for a while after its flow: a flood that displaced its own flows at once would leave no usable
/// slot, and no endpoint could open a flow.
const OWN_AGE: u32 = ticks_from_millis(4_000);
/// Most slots that are searched while none can be displaced.
const MOST_LOOKS: u32 = 4 * WINDOW;

/// Counts a flow of an endpoint if there is room for it. `made` is whether another flow was displaced
/// for it.
#[inline(always)]
pub fn reserve<T: Operations>(tables: &T, endpoint: u32, made: bool) -> bool {
    let Some(occupancy) = tables.occupancy() else { return false };
    let max_flows = tables.max_flows();
    let before = tables.count_up(&occupancy.flows);
    if before >= Share::borrow_limit(max_flows) {
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
    let limit = if has_less { tables.max_flows() } else { Share::borrow_limit(tables.max_flows()) };
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

/// Whether so much of the table is in use, three quarters or more, that the sweep has to hurry.
#[inline(always)]
pub fn is_pressed<T: Tables>(tables: &T) -> bool {
    let mark = tables.max_flows() / 4 * 3;
    tables.occupancy().is_some_and(|occupancy| occupancy.flows.load() >= mark)
}

/// Flows of an endpoint, and its share.
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

/// Which flows a new one of an endpoint may displace.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Claim(u32);

impl Claim {
    /// It has its share: its own that are not established, from [`OWN_AGE`] on.
    const OWN: Self = Self(0);
    /// It is below its share: those of endpoints above theirs.
    const SHARE: Self = Self(1);
    /// It is below its smaller share, too: also those of endpoints above their smaller shares that are
    /// not established.
    const BOTH: Self = Self(2);
}

/// Ends a flow that one of this endpoint may displace; returns whether there was one.
#[inline(always)]
fn displace<T: Operations>(tables: &T, endpoint: u32, claim: Claim, place: u32) -> bool {
    let slots = tables.regions().wrapping_mul(REGION_SLOTS);
    let first = ((u64::from(place) * u64::from(slots)) >> 32) as u32;
    let now = tables.now();
    let mut search = Search { first, slots, endpoint, claim, now, rank: 0, found: NOWHERE };
    // An endpoint that has its share searches one window only: its flood must not cost much.
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

/// The search for the flow to displace: not established before established, longest idle first.
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
    /// Preference for displacing this flow; zero if it must not be displaced.
    #[inline(always)]
    fn rank<T: Tables>(&self, tables: &T, slot: &Slot) -> u64 {
        let word = slot.word();
        if word & (word::LIFE | word::REVERSE) != word::LIVE {
            return 0;
        }
        let endpoint = slot.endpoint();
        let is_settled = word & word::UNSETTLED == 0;
        let may_displace = if self.claim == Claim::OWN {
            endpoint == self.endpoint && !is_settled
        } else {
            let Standing { flows, unsettled, share } = Standing::of(tables, endpoint);
            let crowds = !is_settled && unsettled > Share::unsettled(share);
            flows > share || self.claim == Claim::BOTH && crowds
        };
        if !may_displace {
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
