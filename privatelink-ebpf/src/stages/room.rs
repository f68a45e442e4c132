//! Makes room for a flow when the flow table is full.
//!
//! A stage of its own: ending and reporting another flow takes as much stack as opening one. Only
//! packets that [`open`](super::open) would admit reach it, and they go back there.

use super::verdict::Verdict;
use crate::flows::operations::Operations;
use privatelink_common::{Scratch, Stage, room};

/// Displaces a flow in favour of the endpoint in `scratch.sharer`.
#[inline(never)]
pub fn room<T: Operations>(tables: &T, scratch: &Scratch) -> Verdict {
    let made = tables.make_room(scratch.sharer.load(), scratch.place.load());
    scratch.room.store(if made { room::MADE } else { room::NONE });
    Verdict::Next(Stage::Open)
}
