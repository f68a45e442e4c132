//! How a flow ended: what the sweep reports to user space.

use crate::{Addr, Endpoint, Target, flow::Flow};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A flow that has ended, with all that is needed to notify both of its ends; or one of which an
/// end is said to be gone, with all that is needed to ask the other.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct End {
    /// The direction from the client.
    pub flow: Flow,
    /// Its endpoint, as it was then.
    pub endpoint: Endpoint,
    /// Its target, as it was then.
    pub target: Target,
    /// Its source address.
    pub source: Addr,
    /// IP bytes to the client.
    pub bytes_out: u64,
    /// Packets to the client, modulo 2^32.
    pub packets_out: u32,
    /// Bits of [`word`](crate::flow::word) of the direction to the client.
    pub word_out: u32,
    /// Tick of the last packet in either direction.
    pub last_seen: u32,
    /// An [`EndCause`], or [`End::DOUBTED`].
    pub cause: u32,
}

impl End {
    /// The flow has not ended. One of its ends has said RST, which anybody can forge, and both have
    /// been silent since: the other one is to be asked.
    pub const DOUBTED: u32 = u32::MAX;

    /// Whether the flow goes on until an end has been asked.
    pub const fn is_doubted(&self) -> bool {
        self.cause == Self::DOUBTED
    }
}

/// Defines the causes once: the enum, their numbers and names.
macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a flow ended.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EndCause {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl EndCause {
            /// Every cause, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in logs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

causes! {
    /// Both ends have said FIN, or one has said RST and the other did not object.
    Closed = "closed",
    /// Neither end has spoken for the listener's idle time.
    Idle = "idle",
    /// It was never established.
    Unanswered = "unanswered",
    /// Its connection is no longer available.
    NotAdmitted = "not_admitted",
    /// The endpoint's security rules no longer let it through.
    NotAllowed = "not_allowed",
    /// Its target is gone.
    TargetGone = "target_gone",
    /// Its source address is gone.
    SourceGone = "source_gone",
    /// The flow table was full, and its endpoint had more than its share of it.
    Displaced = "displaced",
}

impl EndCause {
    /// The cause of a number.
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::EndCause;

    #[test]
    fn each_cause_has_its_number() {
        for cause in EndCause::ALL {
            assert_eq!(EndCause::of(*cause as u32), Some(*cause));
        }
    }
}
