//! Reports refused flows to user space.

use crate::environment::Tables;
use privatelink_common::{Addr, Scratch, cell::Word32};

/// Reports a refused flow to user space.
pub fn report<T: Tables>(tables: &T, reason: u32, endpoint: u32) {
    let Some(Scratch { opening, network, .. }) = tables.scratch() else { return };
    if opening.protocol.load() == 0 {
        return;
    }
    let words = |cells: &[Word32; 4]| {
        let [a, b, c, d] = cells;
        Addr::from_words([a.load(), b.load(), c.load(), d.load()])
    };
    tables.refused(network.load(), |refused| {
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
