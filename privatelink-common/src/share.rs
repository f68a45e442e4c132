//! The share of an endpoint: its guaranteed part of the flow table, and of the source ports.
//!
//! Ports are allocated in blocks. A block belongs to one endpoint while it has flows there and for two
//! minutes more, whatever the target: a datagram that is late by less reaches no other endpoint.

use crate::{cell::Word32, ticks_from_millis};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is reserved for an endpoint, by its index. It may borrow what others leave idle.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Share {
    /// Flows; zero stands for as many as the table takes.
    pub flows: u32,
    /// Start of its blocks in each pool of source addresses, in parts of 2^32.
    pub first: u32,
    /// Number of these blocks, in parts of 2^32; zero stands for all.
    pub length: u32,
}

impl Share {
    /// The part of a share that flows may use which are not established, so that they cannot displace
    /// those that are.
    pub const fn unsettled(flows: u32) -> u32 {
        let quarter = flows / 4;
        if quarter > LEAST_UNSETTLED {
            quarter
        } else if flows > LEAST_UNSETTLED {
            LEAST_UNSETTLED
        } else {
            flows
        }
    }

    /// Number of flows in the table from which on no endpoint may borrow: the last eighth is for
    /// endpoints within their shares.
    pub const fn borrow_limit(max_flows: u32) -> u32 {
        max_flows - max_flows / 8
    }

    /// The endpoint's own blocks of a pool that has `all`: the first one, and how many.
    pub const fn blocks(&self, all: u32) -> (u32, u32) {
        if self.length == 0 {
            return (0, all);
        }
        let first = (self.first as u64 * all as u64) >> 32;
        let end = ((self.first as u64 + self.length as u64) * all as u64) >> 32;
        let (first, end) = (first as u32, end as u32);
        // Where there are more endpoints than blocks, several have the same one.
        (first, if end > first { end - first } else { 1 })
    }
}

/// An endpoint within its share may have this many flows that are not established.
const LEAST_UNSETTLED: u32 = 64;

/// How much of the table is in use.
#[repr(C)]
#[derive(Debug, Default)]
pub struct OccupancyCell {
    /// Flows, those among them that are just being entered.
    pub flows: Word32,
    /// Flows that were displaced by others.
    pub displaced: Word32,
}

/// An [`OccupancyCell`] as plain data.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Occupancy {
    /// Flows in the table, those among them that are being entered.
    pub flows: u32,
    /// Flows that were displaced by others.
    pub displaced: u32,
}

/// First port that a flow may be given.
pub const FIRST_PORT: u32 = 1024;
/// Ports of one source address.
pub const PORTS: u32 = 65_536 - FIRST_PORT;
/// Ports of a block.
pub const BLOCK_PORTS: u32 = 16;
/// Blocks of one source address.
pub const BLOCKS: u32 = PORTS / BLOCK_PORTS;
/// Number of source addresses with separate blocks; beyond it, two addresses share the same blocks.
pub const BLOCK_TABLES: u32 = 256;

/// A block and its owner. One word, so that it changes in one exchange.
///
/// From the lowest bit: 24 bits of the time of the last use in units of [`BLOCK_TICK_SHIFT`] ticks,
/// 23 of the number of flows, one that is set when its home endpoint wants it, 16 of the owner's
/// index. A block that was never used is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block(pub u64);

/// The unit of a block's time: 2^6 ticks, 1.07 s.
pub const BLOCK_TICK_SHIFT: u32 = 6;
const TIME_BITS: u32 = 24;
const TIME: u64 = (1 << TIME_BITS) - 1;
const FLOWS_SHIFT: u32 = TIME_BITS;
const FLOWS: u64 = (1 << 23) - 1;
const WANTED: u64 = 1 << 47;
const OWNER_SHIFT: u32 = 48;
/// Time for which a block without flows keeps its owner: two minutes, rounded up to whole units.
const QUIET: u64 = (ticks_from_millis(120_000) as u64 >> BLOCK_TICK_SHIFT) + 2;

impl Block {
    /// Addend that counts one flow more.
    pub const ONE_MORE: u64 = 1 << FLOWS_SHIFT;
    /// Addend that counts one flow less.
    pub const ONE_LESS: u64 = 0_u64.wrapping_sub(1 << FLOWS_SHIFT);

    /// Index of the endpoint that owns it, or owned it last.
    #[inline(always)]
    pub const fn owner(self) -> u32 {
        (self.0 >> OWNER_SHIFT) as u32
    }

    /// How many flows it has.
    #[inline(always)]
    pub const fn flows(self) -> u32 {
        ((self.0 >> FLOWS_SHIFT) & FLOWS) as u32
    }

    /// Whether its home endpoint waits for it.
    #[inline(always)]
    pub const fn is_wanted(self) -> bool {
        self.0 & WANTED != 0
    }

    /// Time since its last use, in units.
    #[inline(always)]
    const fn age(self, now: u32) -> u64 {
        ((now >> BLOCK_TICK_SHIFT) as u64).wrapping_sub(self.0) & TIME
    }

    /// Whether it has no owner.
    #[inline(always)]
    pub const fn is_free(self, now: u32) -> bool {
        self.0 == 0 || self.flows() == 0 && self.age(now) >= QUIET
    }

    /// Whether an endpoint may open a flow there. It may use every free block of its own; of the
    /// blocks of others it may borrow every second one, unless the home endpoint wants it.
    #[inline(always)]
    pub const fn takes(self, endpoint: u32, number: u32, at_home: bool, now: u32) -> bool {
        if self.flows() as u64 == FLOWS {
            return false;
        }
        let free = self.is_free(now);
        if !free && self.owner() != endpoint {
            return false;
        }
        // A home endpoint that has not used it in the meantime has found another.
        let wanted = self.is_wanted() && !(free && self.age(now) >= 2 * QUIET);
        at_home || is_borrowable(number) && !wanted
    }

    /// The block with one more flow, of this endpoint.
    #[inline(always)]
    pub const fn with_flow(self, endpoint: u32, at_home: bool, now: u32) -> Self {
        let flows = if self.owner() == endpoint { self.flows() as u64 } else { 0 } + 1;
        let wanted = if at_home { 0 } else { self.0 & WANTED };
        Self((endpoint as u64) << OWNER_SHIFT | wanted | flows << FLOWS_SHIFT | Self::time(now))
    }

    /// The block with one more flow, which has a port in it already: it stays its owner's, if that
    /// has flows here.
    #[inline(always)]
    pub const fn with_adopted(self, endpoint: u32, now: u32) -> Self {
        let flows = self.flows() as u64;
        if flows == FLOWS {
            return self;
        }
        let owner = if flows == 0 { endpoint } else { self.owner() } as u64;
        let wanted = self.0 & WANTED;
        Self(owner << OWNER_SHIFT | wanted | (flows + 1) << FLOWS_SHIFT | Self::time(now))
    }

    /// The block with one flow less.
    #[inline(always)]
    pub const fn without_flow(self, now: u32) -> Self {
        let less = if self.flows() == 0 { self.0 } else { self.0.wrapping_add(Self::ONE_LESS) };
        Self(less & !TIME | Self::time(now))
    }

    /// The block without its flows, which are counted anew: it has been used until now if it had any.
    #[inline(always)]
    pub const fn without_flows(self, now: u32) -> Self {
        if self.flows() == 0 {
            return self;
        }
        Self(self.0 & !(FLOWS << FLOWS_SHIFT) & !TIME | Self::time(now))
    }

    /// The block, marked as wanted by its home endpoint.
    #[inline(always)]
    pub const fn wanted(self) -> Self {
        Self(self.0 | WANTED)
    }

    #[inline(always)]
    const fn time(now: u32) -> u64 {
        (now >> BLOCK_TICK_SHIFT) as u64 & TIME
    }
}

/// Whether other endpoints than the home endpoint may use a block while it is free. A borrowed block
/// is returned after two minutes at the earliest, so half of them are never borrowed.
#[inline(always)]
pub const fn is_borrowable(number: u32) -> bool {
    number & 1 != 0
}

/// Number of the entry of the blocks' map for a port of a source address whose blocks are those of
/// `table`.
#[inline(always)]
pub const fn block_index(table: u32, port: u32) -> u32 {
    table % BLOCK_TABLES * BLOCKS + port.wrapping_sub(FIRST_PORT) / BLOCK_PORTS % BLOCKS
}

const _: () = {
    assert!(PORTS.is_multiple_of(BLOCK_PORTS));
    assert!(size_of::<Occupancy>() == size_of::<OccupancyCell>());
};

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: u32 = ticks_from_millis(120_000);
    const START: u32 = 1_000_000;

    #[test]
    fn a_block_is_one_endpoints_for_two_minutes_after_its_last_flow() {
        let block = Block(0).with_flow(7, true, START);
        assert!(block.takes(7, 0, true, START) && !block.takes(8, 0, true, START));
        let long = START + 100 * MINUTES;
        assert!(!block.takes(8, 0, true, long), "it has a flow");
        let empty = block.with_flow(7, true, long).without_flow(long).without_flow(long);
        assert_eq!(empty.flows(), 0);
        for later in 0..=MINUTES {
            assert!(!empty.takes(8, 0, true, long + later), "after {later} ticks");
        }
        assert!(empty.takes(7, 0, true, long), "it is still its own");
        assert!(empty.takes(8, 0, true, long + MINUTES + (3 << BLOCK_TICK_SHIFT)));
    }

    #[test]
    fn the_first_endpoint_owns_blocks_like_any_other() {
        let block = Block(0).with_flow(0, true, 0);
        assert!(!block.takes(1, 0, true, 0));
        let empty = block.without_flow(0);
        // All zero: as if never used, which only the first second after the clock's zero is.
        assert_eq!(empty, Block(0));
        assert!(!block.without_flow(START).takes(1, 0, true, START));
    }

    #[test]
    fn the_time_of_a_block_wraps() {
        let before = (1 << (TIME_BITS + BLOCK_TICK_SHIFT)) - 64;
        let block = Block(0).with_flow(7, true, before).without_flow(before);
        assert!(!block.takes(8, 0, true, before + MINUTES));
        assert!(block.takes(8, 0, true, before + MINUTES + (3 << BLOCK_TICK_SHIFT)));
    }

    #[test]
    fn every_second_block_is_borrowed_and_returned_when_wanted() {
        let free = Block(0);
        assert!(free.takes(8, 1, false, START) && !free.takes(8, 2, false, START));
        let borrowed = free.with_flow(8, false, START).wanted();
        assert!(!borrowed.takes(8, 1, false, START), "the home endpoint wants it");
        let empty = borrowed.without_flow(START);
        let later = START + MINUTES + (3 << BLOCK_TICK_SHIFT);
        assert!(!empty.takes(9, 1, false, later) && empty.takes(7, 1, true, later));
        assert!(!empty.with_flow(7, true, later).is_wanted());
        let much_later = START + 2 * MINUTES + (6 << BLOCK_TICK_SHIFT);
        assert!(empty.takes(9, 1, false, much_later), "the home endpoint never used it");
    }

    #[test]
    fn adopted_flows_of_several_endpoints_leave_a_block_to_the_first() {
        let block = Block(0).with_adopted(7, START).with_adopted(8, START);
        assert_eq!((block.owner(), block.flows()), (7, 2));
        assert!(block.takes(7, 0, true, START) && !block.takes(8, 0, true, START));
        let one = block.without_flow(START);
        assert!(!one.takes(8, 0, true, START + 100 * MINUTES), "a flow is left");
        let empty = one.without_flow(START);
        assert_eq!(empty.with_adopted(8, START).owner(), 8);
        let full = Block((FLOWS << FLOWS_SHIFT) | 7 << OWNER_SHIFT);
        assert_eq!(full.with_adopted(7, START), full);
    }

    #[test]
    fn a_block_whose_flows_are_counted_anew_rests_like_any_other() {
        let later = START + 100 * MINUTES;
        let used = Block(0).with_flow(7, false, START).with_flow(7, false, START).wanted();
        let moved = used.without_flows(later);
        assert_eq!((moved.owner(), moved.flows(), moved.is_wanted()), (7, 0, true));
        assert!(!moved.takes(8, 1, true, later + MINUTES));
        let quiet = used.without_flow(later).without_flow(later);
        assert_eq!(quiet.without_flows(later + MINUTES), quiet, "it has begun to rest");
        assert_eq!(moved.with_adopted(7, later).flows(), 1);
    }

    #[test]
    fn counts_do_not_run_over() {
        let mut block = Block(0);
        assert_eq!(block.without_flow(START).flows(), 0);
        block = Block((FLOWS << FLOWS_SHIFT) | 7 << OWNER_SHIFT);
        assert!(!block.takes(7, 0, true, START));
        assert_eq!(block.without_flow(START).owner(), 7);
    }

    #[test]
    fn equal_parts_cover_a_pool_without_overlap() {
        for endpoints in [1_u64, 2, 3, 7, 100, 4_031] {
            let mut next = 0;
            for number in 0..endpoints {
                let first = (number << 32) / endpoints;
                let length = ((number + 1) << 32) / endpoints - first;
                // All of it is written as zero.
                let share = Share { flows: 0, first: first as u32, length: length as u32 };
                let (block, count) = share.blocks(BLOCKS);
                assert_eq!(block, next, "{number} of {endpoints}");
                assert!(count + 1 >= BLOCKS / endpoints as u32, "parts of 2^32 are rounded down");
                next += count;
            }
            assert_eq!(next, BLOCKS, "{endpoints}");
        }
    }

    #[test]
    fn with_more_endpoints_than_blocks_each_has_one() {
        let share = Share { flows: 0, first: 12_345, length: 70 };
        assert_eq!(share.blocks(BLOCKS).1, 1);
    }

    #[test]
    fn what_is_not_established_has_a_smaller_share() {
        assert_eq!(Share::unsettled(1_000), 250);
        assert_eq!(Share::unsettled(100), 64);
        assert_eq!(Share::unsettled(10), 10);
    }
}
