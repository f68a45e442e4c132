//! The operations on flows in plain memory: each is called directly.

use super::{
    operations::Operations,
    phase, report, rules, sweep,
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

    fn end_closed(&self, index: u32) -> bool {
        sweep::end_closed(self, index).is_some()
    }

    fn allows(&self, index: u32) -> bool {
        rules::allows(self, index)
    }

    fn report(&self, reason: u32, endpoint: u32) {
        report::report(self, reason, endpoint);
    }
}
