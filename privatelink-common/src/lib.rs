//! The ABI between the BPF programs and the daemon: types and constants, no decisions.
//!
//! Everything here is the layout of a map's key or value, so three rules hold for each type:
//! `repr(C)` without padding (zerocopy's `IntoBytes` makes a gap a compile error), addresses,
//! ports and MAC addresses in network order, indices and times in native order.
//!
//! The records point at each other by index: a [`Slot`](flow::Slot) names an endpoint, a target
//! and a source address; changing one of those records changes every flow through it at once.
#![no_std]

mod address;
pub mod cell;
mod counters;
mod deadline;
mod end;
pub mod flow;
pub mod fragment;
pub mod hash;
pub mod host;
mod notice;
pub mod path;
pub mod policy;
mod reason;
mod records;
mod refused;
mod scratch;
pub mod share;
pub mod sip;
mod stage;
mod suspect;
mod tick;

pub mod maps;

pub use address::{Addr, Mac};
pub use counters::{DropKey, EndpointCounters, TargetCounters};
pub use deadline::Deadline;
pub use end::{End, EndCause};
pub use host::SenderKey;
pub use notice::Notice;
pub use policy::{Limits, Meter, MeterCell, RuleKey, RuleNode};
pub use reason::Reason;
pub use records::{
    Admission, Endpoint, Listener, ListenerKey, Local, LocalKey, LocalKind, Pool, Refusal, Service,
    Source, TAGGED_ONLY, TagKey, Target, TargetState,
};
pub use refused::{RefusedFlow, Sampling};

pub use scratch::{Opening, Scratch, room};
pub use share::Share;
pub use stage::Stage;
pub use suspect::Suspect;
pub use tick::{TICK_SHIFT, ticks_from_millis};

/// Changes whenever the meaning or the size of any map changes, except for those of the flow table;
/// a daemon that finds pins of another version replaces them knowingly.
pub const LAYOUT_VERSION: u32 = 10;

/// Changes whenever that of the flow table does: of [`maps::SLOTS`] and [`maps::REGIONS`], of the
/// hash that places flows, and of what is counted for each flow in [`maps::METERS`],
/// [`maps::OCCUPANCY`] and [`maps::PORT_BLOCKS`]. Then the table is replaced, and its flows are
/// entered into the new one.
pub const FLOW_LAYOUT_VERSION: u32 = 8;

/// The versions whose slots this release reads as they were meant.
pub const FLOW_LAYOUTS_READ: &[u32] = &[7, 8];

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// Marks map types as plain data for aya. Each one derives zerocopy's `IntoBytes` and
/// `FromBytes`, so it has no padding and any bytes are a valid value.
#[cfg(all(feature = "user", not(target_arch = "bpf")))]
mod pod {
    macro_rules! pod {
        ($($name:ty),+ $(,)?) => {$(
            const _: () = {
                const fn plain<T: zerocopy::IntoBytes + zerocopy::FromBytes>() {}
                plain::<$name>();
            };
            // SAFETY: checked above: no padding, every bit pattern is valid.
            unsafe impl aya::Pod for $name {}
        )+};
    }
    pod!(
        crate::Deadline,
        crate::Endpoint,
        crate::DropKey,
        crate::EndpointCounters,
        crate::TargetCounters,
        crate::RefusedFlow,
        crate::Sampling,
        crate::Listener,
        crate::ListenerKey,
        crate::Local,
        crate::LocalKey,
        crate::SenderKey,
        crate::Service,
        crate::Source,
        crate::TagKey,
        crate::Target,
        crate::End,
        crate::policy::Limits,
        crate::share::Share,
        crate::share::Occupancy,
        crate::policy::Meter,
        crate::policy::RuleKey,
        crate::policy::RuleNode,
        crate::flow::Region,
        crate::flow::Flow,
    );
}
