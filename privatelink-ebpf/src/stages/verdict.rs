//! The packet path's decision about a packet.

use privatelink_common::{Local, LocalKind, Reason, Stage};

/// The datapath's decision about a packet.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// For the host's stack, which gets the frame unchanged. Of a packet from an attached network
    /// only [`Stage::Host`] says so.
    Pass,
    /// Refused.
    Drop(Refused),
    /// Refused, and turned into the packet that notifies its sender.
    Reply {
        /// The reason, and the endpoint.
        refused: Refused,
        /// Index of the interface that it came from, and goes back to.
        ifindex: u32,
    },
    /// Rewritten, to be sent by this interface, which may be the one that it arrived on.
    Send {
        /// Index of the interface.
        ifindex: u32,
    },
    /// Another stage decides.
    Next(Stage),
}

/// Why a packet was refused, and whose it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason that is counted.
    pub reason: Reason,
    /// The endpoint that it was for, where one is known.
    pub endpoint: Option<u32>,
}

impl Verdict {
    /// Not the gateway's: it may be the host's.
    pub const NOT_OURS: Self = Self::Next(Stage::Host);

    /// Refused for a reason, at no endpoint that is known.
    #[inline(always)]
    pub const fn drop(reason: Reason) -> Self {
        Self::Drop(Refused { reason, endpoint: None })
    }

    /// Refused for a reason, at the endpoint whose address it was for, if that is an endpoint's.
    #[inline(always)]
    pub const fn drop_for(reason: Reason, local: &Local) -> Self {
        if local.kind == LocalKind::Endpoint as u32 {
            Self::drop_at(reason, local.index)
        } else {
            Self::drop(reason)
        }
    }

    /// Refused for a reason, at an endpoint.
    #[inline(always)]
    pub const fn drop_at(reason: Reason, endpoint: u32) -> Self {
        Self::Drop(Refused { reason, endpoint: Some(endpoint) })
    }
}
