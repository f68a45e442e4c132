//! Whether an endpoint may open a flow, or send a packet, by its limits.

use crate::environment::{Load, Tables, Walk};
use privatelink_common::{
    Endpoint, Reason,
    cell::Word64,
    policy::{BYTE_SHIFT, limited},
};

/// How far new flows may run ahead of their rate: a burst of one second's worth.
const FLOW_BURST: u64 = 1_000_000_000;
/// How far packets and bytes may run ahead of their rate. Well above the clock's resolution.
const PACKET_BURST: u64 = 100_000_000;
/// Attempts to count while other CPUs count at the same moment.
const ATTEMPTS: u32 = 8;

/// The reason for which an endpoint may not open one more flow now; `None` if it may, and then the
/// flow is counted.
#[inline(never)]
pub fn refused_flow<T: Tables>(tables: &T, endpoint: u32) -> Option<Reason> {
    let (limits, meter) = (tables.limits(endpoint)?, tables.meter(endpoint)?);
    if limits.flows != 0 && meter.flows.load() >= limits.flows {
        return Some(Reason::FlowLimit);
    }
    let in_time = take(tables, &meter.new_flows, limits.flow_nanos, FLOW_BURST);
    (!in_time).then_some(Reason::FlowRateLimit)
}

/// Whether an endpoint may not open a connection anew now, under a tuple that has its flow; if it
/// may, the connection is counted.
#[inline(never)]
pub fn is_too_soon<T: Tables>(tables: &T, endpoint: u32) -> bool {
    let (Some(limits), Some(meter)) = (tables.limits(endpoint), tables.meter(endpoint)) else {
        return false;
    };
    !take(tables, &meter.new_flows, limits.flow_nanos, FLOW_BURST)
}

/// The reason for which packets may not pass an endpoint now; `None` if they may, and then they are
/// counted.
#[inline(never)]
pub fn refused_packets<T: Tables>(tables: &T, endpoint: u32, load: Load) -> Option<Reason> {
    let (limits, meter) = (tables.limits(endpoint)?, tables.meter(endpoint)?);
    let nanos = limits.packet_nanos.wrapping_mul(u64::from(load.packets));
    if !take(tables, &meter.packets, nanos, PACKET_BURST) {
        return Some(Reason::PacketRateLimit);
    }
    let nanos = limits.byte_nanos.wrapping_mul(u64::from(load.bytes)) >> BYTE_SHIFT;
    (!take(tables, &meter.bytes, nanos, PACKET_BURST)).then_some(Reason::BitRateLimit)
}

/// Whether the endpoint's packets have to be counted against a limit.
#[inline(always)]
pub fn is_metered(endpoint: &Endpoint) -> bool {
    endpoint.limits & limited::PACKETS != 0
}

/// Spends `cost` nanoseconds of a budget that grows with time (GCRA): `spent` may run ahead of the
/// clock by `burst`, and never falls behind it. Returns whether the budget sufficed.
#[inline(always)]
fn take<T: Tables>(tables: &T, spent: &Word64, cost: u64, burst: u64) -> bool {
    if cost == 0 {
        return true;
    }
    let mut take = Take { spent, cost, burst, now: tables.nanos(), refused: false };
    tables.walk(ATTEMPTS, &mut take);
    // If all attempts lost the race, other packets have been counted; this one passes uncounted.
    !take.refused
}

struct Take<'c> {
    spent: &'c Word64,
    cost: u64,
    burst: u64,
    now: u64,
    refused: bool,
}

impl<T: Tables> Walk<T> for Take<'_> {
    #[inline(always)]
    fn step(&mut self, tables: &T, _number: u32) -> bool {
        let before = self.spent.load();
        let ahead = before.wrapping_sub(self.now);
        // Behind the clock (a negative difference) nothing is spent.
        let behind = ahead.cast_signed() < 0;
        if !behind && ahead > self.burst {
            self.refused = true;
            return true;
        }
        let from = if behind { self.now } else { before };
        tables.exchange64(self.spent, before, from.wrapping_add(self.cost))
    }
}
