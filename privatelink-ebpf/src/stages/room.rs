//! Makes room for a flow, where the table is short of it.
//!
//! A stage of its own, because a flow that gives way is ended and reported before the packet has
//! opened its own: that takes as much stack as opening.

use super::{
    chain::Chained,
    packet::{Packet, opens_tcp},
    verdict::Verdict,
};
use crate::flows::{operations::Operations, share};
use privatelink_common::{LocalKey, LocalKind, Scratch, Stage, TCP};

/// Room has been made.
pub const MADE: u32 = u32::MAX;

/// The stage that follows for a packet without a flow.
#[inline(always)]
pub fn or_open<T: Operations, I: Chained>(
    tables: &T,
    scratch: &Scratch,
    packet: &Packet<I>,
) -> Stage {
    let opens = packet.arrival.protocol != u32::from(TCP) || opens_tcp(packet.flags);
    if !opens || !share::is_lent(tables) {
        return Stage::Open;
    }
    let (network, address) = (packet.arrival.network, I::to_addr(packet.arrival.destination));
    let local = tables.local(&LocalKey { network, address });
    match local.filter(|local| local.kind == LocalKind::Endpoint as u32) {
        None => Stage::Open,
        Some(local) => {
            scratch.room.store(local.index);
            scratch.place.store(tables.choice(&packet.arrival, false) as u32);
            Stage::Room
        }
    }
}

/// Ends a flow that gives way to one of the endpoint, if there is none left otherwise.
#[inline(never)]
pub fn room<T: Operations>(tables: &T, scratch: &Scratch) -> Verdict {
    let made = tables.make_room(scratch.room.load(), scratch.place.load());
    scratch.room.store(if made { MADE } else { 0 });
    Verdict::Next(Stage::Open)
}
