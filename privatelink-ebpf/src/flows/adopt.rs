//! Enters a flow that comes from another table: a smaller or larger one, or that of another
//! release.
//!
//! User space reads that table slot by slot while packets still go by it, and what it holds may be
//! read twice: before the programs that use this table take over, and after.

use super::{
    account,
    operations::Operations,
    table::{Arrival, Taken},
};
use crate::wire::{Ip, Ipv4, Ipv6};
use privatelink_common::flow::{Content, Flow, Slot, split_mac, word};

/// Enters one direction of a flow, or brings it up to date if it is here already. `false` if there
/// is no room for it.
#[inline(always)]
pub fn adopt<T: Operations>(tables: &T, flow: &Flow) -> bool {
    if flow.word & word::LIFE != word::LIVE {
        return true;
    }
    if flow.word & word::ARRIVES_V6 != 0 {
        enter::<T, Ipv6>(tables, flow)
    } else {
        enter::<T, Ipv4>(tables, flow)
    }
}

#[inline(always)]
fn enter<T: Operations, I: Ip>(tables: &T, flow: &Flow) -> bool {
    // A flow of records that are gone would be found by no packet.
    let Some(arrival) = arrival::<T, I>(tables, flow) else { return true };
    account::adopt(tables, flow);
    let taken = match tables.insert(&arrival, flow.word & !word::LIFE, &content(flow)) {
        Ok(index) => {
            if let Some(slot) = tables.slot(index) {
                slot.restore(flow);
            }
            return true;
        }
        Err(taken) => taken,
    };
    account::disown(tables, flow);
    if taken != Taken::Exists {
        return false;
    }
    if let Some(slot) = tables.search(&arrival).and_then(|index| tables.slot(index)) {
        update(tables, slot, flow);
    }
    true
}

/// The tuple of the packets of this direction.
#[inline(always)]
fn arrival<T: Operations, I: Ip>(tables: &T, flow: &Flow) -> Option<Arrival<I>> {
    let endpoint = tables.endpoint(flow.endpoint())?;
    let target = tables.target(flow.target())?;
    let source = tables.source(u32::from(flow.source))?;
    let protocol = (flow.word & word::PROTOCOL) >> word::PROTOCOL_SHIFT;
    Some(if flow.word & word::REVERSE != 0 {
        Arrival {
            network: target.network,
            source: I::from_addr(&target.address),
            destination: I::from_addr(&source.address),
            ports: flow.provider_ports,
            protocol,
        }
    } else {
        Arrival {
            network: endpoint.network,
            source: I::from_addr(&flow.client),
            destination: I::of_endpoint(endpoint),
            ports: flow.consumer_ports,
            protocol,
        }
    })
}

#[inline(always)]
fn content(flow: &Flow) -> Content {
    let (client_mac_high, client_mac_low) = split_mac(flow.client_mac);
    Content {
        now: flow.opened,
        client: flow.client.words(),
        consumer_ports: flow.consumer_ports,
        provider_ports: flow.provider_ports,
        endpoint: flow.endpoint(),
        target: flow.target(),
        source: u32::from(flow.source),
        client_mac_low,
        client_mac_high,
        l3_delta: flow.l3_delta,
        l4_delta: flow.l4_delta,
        reserved: 0,
    }
}

/// Brings a slot up to date, if it is of the same flow and has seen no packet since.
#[inline(always)]
fn update<T: Operations>(tables: &T, slot: &Slot, flow: &Flow) {
    let same = slot.provider_ports() == flow.provider_ports
        && slot.consumer_ports() == flow.consumer_ports
        && slot.endpoint() == flow.endpoint()
        && slot.target() == flow.target()
        && slot.source() == flow.source;
    let newer = flow.last_seen.wrapping_sub(slot.last_seen()).cast_signed() >= 0;
    let before = slot.word();
    if same && newer && before & word::LIFE == word::LIVE {
        // If a packet changes the word at this moment, it knows better.
        if tables.exchange(slot.word_cell(), before, flow.word) {
            account::changed(tables, slot, before, flow.word);
            slot.restore(flow);
        }
    }
}
