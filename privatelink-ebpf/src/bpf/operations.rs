//! Table operations as functions of their own, which take only numbers and plain memory.

use crate::maps::Maps;
use privatelink_common::{
    DropKey,
    flow::{Content, Flow},
};
use privatelink_ebpf::{
    Tables as _,
    flows::{
        adopt,
        blocks::{self, Place},
        phase, report, rules, share, sweep,
        table::{self, Arrival, Taken},
    },
    wire::{Ipv4, Ipv6},
};

/// The tuple is taken.
pub const EXISTS: u64 = 1;
/// The tuple's region is full.
pub const FULL: u64 = 2;
/// Another CPU held the region.
const CONTENDED: u64 = 3;

/// The table operations as functions of their own: the verifier looks at a global function once,
/// however often it is called, and lets only numbers and plain memory across.
macro_rules! table_operations {
    ($search:ident, $choice:ident, $insert:ident, $ip:ty) => {
        /// The slot of a tuple, or more than 32 bits.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $search(arrival: *const Arrival<$ip>) -> u64 {
            // SAFETY: either null or a whole tuple: the verifier makes sure of it.
            let Some(arrival) = (unsafe { arrival.as_ref() }) else { return u64::MAX };
            arrival.search(&Maps).map_or(u64::MAX, u64::from)
        }

        /// What is chosen for a flow of the tuple, or else for all flows of its client.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $choice(arrival: *const Arrival<$ip>, of_client: u32) -> u64 {
            // SAFETY: either null or a whole tuple: the verifier makes sure of it.
            let Some(arrival) = (unsafe { arrival.as_ref() }) else { return 0 };
            if of_client == 0 { arrival.choice(&Maps) } else { arrival.client_choice(&Maps) }
        }

        /// The slot that was entered, or why not in the upper half.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $insert(
            arrival: *const Arrival<$ip>,
            word: u32,
            content: *const Content,
        ) -> u64 {
            // SAFETY: either null or a whole tuple: the verifier makes sure of it.
            let Some(arrival) = (unsafe { arrival.as_ref() }) else { return FULL << 32 };
            // SAFETY: as above.
            let Some(content) = (unsafe { content.as_ref() }) else { return FULL << 32 };
            match arrival.insert(&Maps, word, content) {
                Ok(index) => u64::from(index),
                Err(Taken::Exists) => EXISTS << 32,
                Err(Taken::Full) => FULL << 32,
                Err(Taken::Contended) => CONTENDED << 32,
            }
        }
    };
}

table_operations!(flow_search_v4, flow_choice_v4, flow_insert_v4, Ipv4);
table_operations!(flow_search_v6, flow_choice_v6, flow_insert_v6, Ipv6);

/// Whether the slot was taken out of use.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_remove(index: u32, word: u32) -> u64 {
    u64::from(table::remove(&Maps, index, word))
}

/// Follows a flow through its phases. Returns zero, because the verifier requires a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_follow(index: u32, flags: u32) -> u64 {
    phase::follow(&Maps, index, flags);
    0
}

/// Whether a flow was ended.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_end(index: u32, cause: u32) -> u64 {
    u64::from(sweep::end_flow(&Maps, index, cause).is_some())
}

/// Whether there was room for a flow, which is counted now.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_reserve(endpoint: u32, made: u32) -> u64 {
    u64::from(share::reserve(&Maps, endpoint, made != 0))
}

/// Whether a flow was displaced by one of an endpoint.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_make_room(endpoint: u32, place: u32) -> u64 {
    u64::from(share::make_room(&Maps, endpoint, place))
}

/// An operation of an endpoint on a [`Place`], which comes as its fields.
macro_rules! place_operation {
    ($(#[$documentation:meta])* $name:ident, $operation:ident) => {
        $(#[$documentation])*
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $name(
            source: u32,
            port: u32,
            number: u32,
            at_home: u32,
            endpoint: u32,
        ) -> u64 {
            let place = Place { source, port, number, at_home: at_home != 0 };
            u64::from(place.$operation(&Maps, endpoint))
        }
    };
}

place_operation! {
    /// Whether an endpoint may open a flow at a port.
    port_is_open, is_open_to
}
place_operation! {
    /// Counts a flow of an endpoint at a port; whether the endpoint may use the port.
    port_take, take
}

/// Subtracts a flow at a port from the count of its block. Returns zero, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn port_give_back(source: u32, port: u32) -> u64 {
    blocks::give_back(&Maps, source, port);
    0
}

/// How many flows of these regions were ended.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_sweep(first: u32, regions: u32, with_rules: u32) -> u64 {
    let Some(scratch) = Maps.scratch() else { return 0 };
    scratch.sweeping.store(1);
    let ended = sweep::sweep_regions(&Maps, first, regions, with_rules != 0);
    scratch.sweeping.store(0);
    u64::from(ended)
}

/// Whether a flow of another table was entered, or is here.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_adopt(flow: *const Flow) -> u64 {
    // SAFETY: either null or a whole flow: the verifier makes sure of it.
    let Some(flow) = (unsafe { flow.as_ref() }) else { return 1 };
    u64::from(adopt::adopt(&Maps, flow))
}

/// Whether the endpoint's security rules let the slot's flow through.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_allowed(index: u32) -> u64 {
    u64::from(rules::allows(&Maps, index))
}

/// Reports a refused flow to user space. Returns zero, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flow_refused(reason: u32, endpoint: u32) -> u64 {
    report::report(&Maps, reason, endpoint);
    0
}

/// Counts a refused packet at its endpoint. Returns zero, as above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn drop_at_endpoint(endpoint: u32, reason: u32) -> u64 {
    Maps.count_drop_at(DropKey { endpoint, reason });
    0
}
