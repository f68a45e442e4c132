//! The flow table: open addressing in regions of 256 slots.
//!
//! A search starts at the tuple's home slot and goes on, around the region, to the first free
//! slot. A tuple has two homes: in one of the near regions, which a processor's caches hold, and
//! in one of the far ones, where it is entered only when its near region is full. Searches take
//! no lock. Insertions hold the locks of both regions, removals that of the slot's, so a tuple
//! is claimed once, whichever CPUs race for it. A removed slot rests for a second before it is
//! used again, because another CPU may just have found it.

mod arrival;
mod choice;
mod insert;
mod leg;
mod region;
mod remove;
mod search;

pub use arrival::{Arrival, Taken};
pub use choice::{joined, prf};
pub use leg::Leg;
pub use region::{Home, NOWHERE};
pub use remove::remove;
pub use search::{Homes, NEAR};
