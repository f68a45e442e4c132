//! Carries a packet of a flow to the other side.

use super::{
    chain::Chained,
    egress::{Egress, Ingress},
    packet::Packet,
    sent::{Sent, finish},
    stop::stop,
    verdict::Verdict,
};
use crate::{
    environment::{Frame, Segments},
    flows::{operations::Operations, phase, table::Leg},
    wire::{Front, Head, Ip, Tcp, Transport, Udp, swapped},
};
use privatelink_common::{
    Admission, Reason, Scratch, Stage, TargetState,
    flow::{Phase, word},
};

/// Whether a packet needs nothing but to be rewritten and sent.
#[inline(always)]
pub fn takes_fast_path<I: Ip, L: Transport>(
    head: &Head<I, L>,
    packet: &Packet<I>,
    segments: Segments,
    leg: &Leg<'_>,
    egress: &Egress<I>,
) -> bool {
    head.ip.ttl() > 1
        // A switch that floods delivers frames for other hosts, too.
        && head.ethernet.to() == egress.own
        && (leg.is_reverse() || head.ethernet.from() == leg.slot.client_mac())
        && leg.endpoint.admission == Admission::Available as u32
        && leg.target.state == TargetState::Present as u32
        // The last bytes of an unresolved hop are zero; a real one like that takes the slow stage.
        && egress.hop.1 != 0
        && packet.flags & phase::PHASE_FLAGS == 0
        // Established beyond doubt, and of the same family on both sides.
        && leg.word & (word::PHASE | word::DOUBT | word::LEAVES_V6) == Phase::Established.bits() | I::LEAVES
        && packet.largest(segments) <= egress.untagged_mtu
}

/// Rewrites a packet to one for the other side; its checksum is left to [`Frame::amend`] where the
/// frame defers it.
#[inline(always)]
pub fn rewrite<F: Frame, I: Ip, L: Transport>(
    head: &mut Head<I, L>,
    leg: &Leg<'_>,
    egress: &Egress<I>,
) {
    head.ethernet.readdress(egress.mac, egress.hop);
    head.ip.readdress(egress.source, egress.destination, leg.slot.l3_delta());
    if F::DEFERS_CHECKSUMS {
        head.transport.put_ports(swapped(egress.ports));
    } else {
        head.transport.rewrite(swapped(egress.ports), leg.slot.l4_delta());
    }
}

/// Rewrites the transport header at an offset, of a packet whose addresses are rewritten too.
#[inline(always)]
pub fn rewrite_transport<F: Frame, L: Transport>(
    frame: &mut F,
    at: usize,
    ports: u32,
    leg: &Leg<'_>,
) -> Option<()> {
    let transport = frame.view::<L>(at)?;
    if F::DEFERS_CHECKSUMS {
        transport.put_ports(ports);
        frame.amend::<L>(at, leg.gains())
    } else {
        transport.rewrite(ports, leg.slot.l4_delta());
        Some(())
    }
}

/// Carries a packet that the fast path does not, or refuses it.
#[inline(never)]
pub fn carry<F: Frame, T: Operations, I: Chained>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Verdict {
    let packet = &match Packet::<I>::read_slowly(frame, tables, scratch.network.load()) {
        Ok(packet) => packet,
        Err(reason) => return Verdict::drop(reason),
    };
    match packet.arrival.protocol {
        Tcp::PROTOCOL => carry_transport::<F, T, I, Tcp>(frame, tables, scratch, packet),
        _ => carry_transport::<F, T, I, Udp>(frame, tables, scratch, packet),
    }
}

#[inline(always)]
fn carry_transport<F: Frame, T: Operations, I: Chained, L: Transport>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
    packet: &Packet<I>,
) -> Verdict {
    let internal = Verdict::drop(Reason::Internal);
    let Some(leg) = Leg::at(tables, scratch.slot.load()) else { return internal };
    if leg.word & word::LEAVES_V6 != I::LEAVES {
        let is_part = packet.fragment.is_part();
        return Verdict::Next(if is_part { Stage::TranslatePart } else { Stage::Translate });
    }
    let stopped = stop(frame, tables, packet, scratch, &leg, &Ingress::of(&leg));
    if !stopped.is_nothing() {
        return stopped.verdict(leg.slot.endpoint());
    }
    let egress = Egress::<I>::of(&leg);
    let Some(head) = frame.view::<Front<I>>(0) else { return internal };
    head.ethernet.readdress(egress.mac, egress.hop);
    head.ip.readdress(egress.source, egress.destination, leg.slot.l3_delta());
    I::end_options(frame, tables, packet.transport());
    if packet.fragment.is_part() {
        I::renumber(frame, packet.fragment, scratch.identification.load());
    }
    if !packet.fragment.is_later() {
        let ports = swapped(egress.ports);
        if rewrite_transport::<F, L>(frame, packet.transport(), ports, &leg).is_none() {
            return internal;
        }
    }
    let load = packet.load(frame.segments());
    let sent = Sent { load, flags: packet.flags, transport: packet.transport() };
    finish::<T, I, L>(tables, scratch, &leg, &egress, &sent)
}
