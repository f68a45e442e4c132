//! Counts of flows, in total and per endpoint. A flow counts from before it is entered until the
//! direction from its client is removed.

use super::blocks;
use crate::environment::Tables;
use privatelink_common::flow::{Flow, Slot, word};

/// Addend that counts down by one.
const ONE_LESS: u32 = u32::MAX;

/// Counts a flow of an endpoint that the table has room for.
#[inline(always)]
pub fn begin<T: Tables>(tables: &T, endpoint: u32) {
    if let Some(meter) = tables.meter(endpoint) {
        tables.add(&meter.flows, 1);
        tables.add(&meter.unsettled, 1);
    }
}

/// Undoes [`begin`] and the reservation of a flow that could not be entered.
#[inline(always)]
pub fn cancel<T: Tables>(tables: &T, endpoint: u32) {
    if let Some(meter) = tables.meter(endpoint) {
        tables.add(&meter.flows, ONE_LESS);
        tables.add(&meter.unsettled, ONE_LESS);
    }
    give_back(tables);
}

/// Counts a direction of a flow that comes from another table, before it is entered.
#[inline(always)]
pub fn adopt<T: Tables>(tables: &T, flow: &Flow) {
    if flow.word & word::REVERSE != 0 {
        blocks::adopt(tables, flow);
        return;
    }
    count(tables, flow, 1);
    if let Some(occupancy) = tables.occupancy() {
        tables.add(&occupancy.flows, 1);
    }
}

/// Takes back what [`adopt`] has counted: the direction could not be entered.
#[inline(always)]
pub fn disown<T: Tables>(tables: &T, flow: &Flow) {
    if flow.word & word::REVERSE != 0 {
        blocks::give_back(tables, u32::from(flow.source), blocks::port(flow.provider_ports));
        return;
    }
    count(tables, flow, ONE_LESS);
    give_back(tables);
}

#[inline(always)]
fn count<T: Tables>(tables: &T, flow: &Flow, by: u32) {
    if let Some(meter) = tables.meter(flow.endpoint()) {
        tables.add(&meter.flows, by);
        if flow.word & word::UNSETTLED != 0 {
            tables.add(&meter.unsettled, by);
        }
    }
}

/// Releases the reservation of a flow.
#[inline(always)]
pub fn give_back<T: Tables>(tables: &T) {
    if let Some(occupancy) = tables.occupancy() {
        tables.add(&occupancy.flows, ONE_LESS);
    }
}

/// Updates the counts after a slot's word has changed.
#[inline(always)]
pub fn changed<T: Tables>(tables: &T, slot: &Slot, before: u32, after: u32) {
    if before & word::REVERSE != 0 || (before ^ after) & word::UNSETTLED == 0 {
        return;
    }
    if let Some(meter) = tables.meter(slot.endpoint()) {
        tables.add(&meter.unsettled, if after & word::UNSETTLED == 0 { ONE_LESS } else { 1 });
    }
}

/// Updates the counts after a slot with this word was removed: the direction from the client counts
/// as the flow, the other one as its port.
#[inline(always)]
pub fn removed<T: Tables>(tables: &T, slot: &Slot, word: u32) {
    if word & word::REVERSE != 0 {
        blocks::release(tables, slot);
        return;
    }
    changed(tables, slot, word, word & !word::UNSETTLED);
    if let Some(meter) = tables.meter(slot.endpoint()) {
        tables.add(&meter.flows, ONE_LESS);
    }
    give_back(tables);
}
