//! What may keep a packet of a flow from going on.

use super::{egress::Ingress, packet::Packet, verdict::Verdict};
use crate::{
    environment::Frame,
    flows::{operations::Operations, phase, policy, table::Leg},
    wire::{Front, Ip},
};
use privatelink_common::{Admission, Reason, Scratch, TargetState, policy::limited};

/// What keeps a packet of a flow from going on, as one number: an `Option` leaves its content
/// unwritten when it is empty, and the verifier refuses to see that copied.
#[derive(Clone, Copy)]
pub struct Stop(u32);

impl Stop {
    /// The packet goes on.
    const NOTHING: Self = Self(0);
    /// The packet is not for the gateway.
    const NOT_OURS: Self = Self(1);

    /// The packet is refused.
    #[inline(always)]
    fn refused(reason: Reason) -> Self {
        Self(2 + reason as u32)
    }

    /// What becomes of the packet, unless it goes on.
    #[inline(always)]
    pub fn verdict(self, endpoint: u32) -> Verdict {
        match self.0 {
            1 => Verdict::NOT_OURS,
            code => {
                let reason = Reason::of(code.wrapping_sub(2)).unwrap_or(Reason::Internal);
                Verdict::drop_at(reason, endpoint)
            }
        }
    }

    /// Whether the packet goes on.
    #[inline(always)]
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

/// Checks all that may keep a packet of a flow from going on. If nothing does, the flow's phase and
/// the client's Ethernet address have been updated.
#[inline(always)]
pub fn stop<F: Frame, T: Operations, I: Ip>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
    scratch: &Scratch,
    leg: &Leg<'_>,
    ingress: &Ingress,
) -> Stop {
    let segments = frame.segments();
    let Some(head) = frame.view::<Front<I>>(0) else { return Stop::NOT_OURS };
    if head.ethernet.to() != ingress.own {
        return Stop::NOT_OURS;
    }
    let endpoint = leg.slot.endpoint();
    if let Some(reason) = refused(leg) {
        return Stop::refused(reason);
    }
    if packet.largest(segments) > ingress.max_input_len {
        scratch.mtu.store(ingress.max_input_len);
        return Stop::refused(Reason::TooBig);
    }
    if head.ip.ttl() <= 1 {
        return Stop::refused(Reason::TtlExpired);
    }
    if policy::is_metered(leg.endpoint)
        && let Some(reason) = policy::refused_packets(tables, endpoint, packet.load(segments))
    {
        return Stop::refused(reason);
    }
    // Only a packet that is forwarded may change the flow's phase.
    if phase::changes_phase(packet.flags, leg.word) {
        if let Some(reason) = Reason::of(scratch.fault.load()) {
            return Stop::refused(reason);
        }
        // It may be another connection for the target, so it counts like one.
        if phase::may_begin_anew(packet.flags, leg.word)
            && leg.endpoint.limits & limited::FLOWS != 0
            && policy::is_too_soon(tables, endpoint)
        {
            return Stop::refused(Reason::FlowRateLimit);
        }
        tables.follow(leg.index, packet.flags);
    }
    let sender = head.ethernet.from();
    if !leg.is_reverse() && sender != leg.slot.client_mac() {
        phase::follow_client(tables, leg.index, sender.0, sender.1);
    }
    Stop::NOTHING
}

/// Why a flow that exists may not go on, if it may not.
#[inline(always)]
pub fn refused(leg: &Leg<'_>) -> Option<Reason> {
    if let Some(reason) = refused_admission(leg.endpoint.admission) {
        return Some(reason);
    }
    if leg.target.state != TargetState::Present as u32 {
        return Some(Reason::NoTarget);
    }
    if !leg.is_reverse() && leg.target.hop == [0; 6] {
        return Some(Reason::NoNeighbour);
    }
    None
}

/// What an endpoint's admission says against a packet of a flow.
#[inline(always)]
pub fn refused_admission(admission: u32) -> Option<Reason> {
    const PENDING: u32 = Admission::Pending as u32;
    const EXPIRED: u32 = Admission::Expired as u32;
    if Admission::carries(admission) {
        return None;
    }
    match admission {
        PENDING => Some(Reason::Pending),
        EXPIRED => Some(Reason::Expired),
        _ => Some(Reason::Rejected),
    }
}
