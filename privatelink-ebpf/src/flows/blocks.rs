//! Ownership of blocks of source ports.

use crate::environment::Tables;
use privatelink_common::{
    cell::Word64,
    flow::{Flow, Slot},
    share::{Block, block_index},
};

/// Attempts to change a block that other CPUs change at the same time.
const ATTEMPTS: u32 = 4;

/// A port of a source address, and the block that it is in.
#[derive(Clone, Copy)]
pub struct Place {
    /// Index of the source address.
    pub source: u32,
    /// The port, in the machine's order.
    pub port: u32,
    /// Number of the block within its pool.
    pub number: u32,
    /// Whether the block is in the endpoint's own share.
    pub at_home: bool,
}

impl Place {
    #[inline(always)]
    fn cell<'t, T: Tables>(&self, tables: &'t T) -> Option<&'t Word64> {
        let source = tables.source(self.source)?;
        tables.port_block(block_index(source.blocks, self.port))
    }

    /// Whether an endpoint may open a flow there. If another endpoint has borrowed a block of its
    /// share, the block is marked as wanted.
    #[inline(always)]
    pub fn is_open_to<T: Tables>(&self, tables: &T, endpoint: u32) -> bool {
        let Some(cell) = self.cell(tables) else { return false };
        let (block, now) = (Block(cell.load()), tables.now());
        if block.takes(endpoint, self.number, self.at_home, now) {
            return true;
        }
        if self.at_home && block.owner() != endpoint && !block.is_wanted() {
            // After a lost race, the next search marks it.
            let _marked = tables.exchange64(cell, block.0, block.wanted().0);
        }
        false
    }

    /// Counts a flow of the endpoint in the block and makes the endpoint its owner; returns whether
    /// the endpoint may use the block.
    #[inline(always)]
    pub fn take<T: Tables>(&self, tables: &T, endpoint: u32) -> bool {
        let Some(cell) = self.cell(tables) else { return false };
        let now = tables.now();
        for _ in 0..ATTEMPTS {
            let block = Block(cell.load());
            if !block.takes(endpoint, self.number, self.at_home, now) {
                return false;
            }
            let taken = block.with_flow(endpoint, self.at_home, now);
            if tables.exchange64(cell, block.0, taken.0) {
                return true;
            }
        }
        false
    }
}

/// Subtracts a flow at a port of a source address from the count of its block.
#[inline(always)]
pub fn give_back<T: Tables>(tables: &T, source: u32, port: u32) {
    let place = Place { source, port, number: 0, at_home: true };
    if let Some(cell) = place.cell(tables) {
        count_down(tables, cell);
    }
}

/// Subtracts the flow of a slot from the count of its block.
#[inline(always)]
pub fn release<T: Tables>(tables: &T, slot: &Slot) {
    give_back(tables, u32::from(slot.source()), port(slot.provider_ports()));
}

/// Counts a flow in the block of its port, also when the block is another endpoint's.
#[inline(always)]
pub fn adopt<T: Tables>(tables: &T, flow: &Flow) {
    let (source, port) = (u32::from(flow.source), port(flow.provider_ports));
    let place = Place { source, port, number: 0, at_home: true };
    let Some(cell) = place.cell(tables) else { return };
    let now = tables.now();
    for _ in 0..ATTEMPTS {
        let block = Block(cell.load());
        if tables.exchange64(cell, block.0, block.with_adopted(flow.endpoint(), now).0) {
            return;
        }
    }
    // Those that won have noted owner and time.
    tables.add64(cell, Block::ONE_MORE);
}

/// The source port among the ports towards a target.
#[inline(always)]
pub fn port(provider_ports: u32) -> u32 {
    let [_, _, high, low] = provider_ports.to_ne_bytes();
    u32::from(u16::from_be_bytes([high, low]))
}

#[inline(always)]
fn count_down<T: Tables>(tables: &T, cell: &Word64) {
    let now = tables.now();
    for _ in 0..ATTEMPTS {
        let block = Block(cell.load());
        if tables.exchange64(cell, block.0, block.without_flow(now).0) {
            return;
        }
    }
    // The CPUs that won the races have stored the time.
    tables.add64(cell, Block::ONE_LESS);
}
