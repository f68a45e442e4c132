//! Tells user space of flows that are refused.

use crate::{
    environment::Tables,
    stages::{packet::Packet, slow::is_first},
    wire::Ip,
};
use privatelink_common::{Addr, Opening, Scratch, TCP, cell::Word32};

/// Notes what a packet would open, if it would open anything.
#[inline(always)]
pub fn note<I: Ip>(opening: &Opening, packet: &Packet<I>) {
    let arrival = &packet.arrival;
    if arrival.protocol == u32::from(TCP) && !is_first(packet.flags) {
        opening.protocol.store(0);
        return;
    }
    let put = |place: &[Word32; 4], address: I::Address| {
        for (cell, word) in place.iter().zip(I::to_addr(address).words()) {
            cell.store(word);
        }
    };
    put(&opening.client, arrival.source);
    put(&opening.address, arrival.destination);
    opening.ports.store(arrival.ports);
    opening.protocol.store(arrival.protocol);
    opening.length.store(packet.length);
}

/// Tells user space of a flow that was refused.
pub fn report<T: Tables>(tables: &T, reason: u32, endpoint: u32) {
    let Some(Scratch { opening, .. }) = tables.scratch() else { return };
    if opening.protocol.load() == 0 {
        return;
    }
    let words = |cells: &[Word32; 4]| {
        let [a, b, c, d] = cells;
        Addr::from_words([a.load(), b.load(), c.load(), d.load()])
    };
    tables.refused(|refused| {
        refused.client = words(&opening.client);
        refused.address = words(&opening.address);
        refused.ports = opening.ports.load();
        refused.protocol = opening.protocol.load();
        refused.endpoint = endpoint;
        refused.reason = reason;
        refused.length = opening.length.load();
        refused.tick = tables.now();
    });
}
