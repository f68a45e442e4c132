//! The operations on flows in plain memory: each is called directly.

use super::{
    blocks::{self, Place},
    operations::Operations,
    phase, report, rules, share, sweep,
    table::{self, Arrival, Taken},
};
use crate::{environment::MemoryTables, wire::Ip};
use privatelink_common::flow::Content;

impl Operations for MemoryTables {
    fn search<I: Ip>(&self, arrival: &Arrival<I>) -> Option<u32> {
        arrival.search(self)
    }

    fn choice<I: Ip>(&self, arrival: &Arrival<I>, of_client: bool) -> u64 {
        if of_client { arrival.client_choice(self) } else { arrival.choice(self) }
    }

    fn insert<I: Ip>(
        &self,
        arrival: &Arrival<I>,
        word: u32,
        content: &Content,
    ) -> Result<u32, Taken> {
        arrival.insert(self, word, content)
    }

    fn remove(&self, index: u32, word: u32) -> bool {
        table::remove(self, index, word)
    }

    fn follow(&self, index: u32, flags: u32) {
        phase::follow(self, index, flags);
    }

    fn end_flow(&self, index: u32, cause: u32) -> bool {
        sweep::end_flow(self, index, cause).is_some()
    }

    fn reserve(&self, endpoint: u32, made: bool) -> bool {
        share::reserve(self, endpoint, made)
    }

    fn make_room(&self, endpoint: u32, place: u32) -> bool {
        share::make_room(self, endpoint, place)
    }

    fn is_open_to(&self, place: &Place, endpoint: u32) -> bool {
        place.is_open_to(self, endpoint)
    }

    fn take(&self, place: &Place, endpoint: u32) -> bool {
        place.take(self, endpoint)
    }

    fn give_back(&self, source: u32, port: u32) {
        blocks::give_back(self, source, port);
    }

    fn allows(&self, index: u32) -> bool {
        rules::allows(self, index)
    }

    fn report(&self, reason: u32, endpoint: u32) {
        report::report(self, reason, endpoint);
    }
}
