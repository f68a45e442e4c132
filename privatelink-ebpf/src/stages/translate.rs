//! Carries a packet of a flow whose two ends are of different families (RFC 7915).
//!
//! The transport's checksum gains the difference between the two pseudo headers, which was
//! computed with all others when the flow was opened; the IP header is written anew. Options and
//! extension headers end here, as the RFC has it.
//!
//! Whole packets and fragments take the same way, as two stages: `PART` is known when each is
//! compiled.

use super::{
    carry::rewrite_transport,
    chain::{self, Chained},
    egress::{Egress, Ingress, leave_room, max_fragment_input_len, max_input_len},
    packet::Packet,
    sent::{Sent, finish},
    stop::stop,
    sum,
    verdict::Verdict,
};
use crate::{
    environment::{Frame, Load},
    flows::{
        operations::Operations,
        table::{Arrival, Leg},
    },
    wire::{
        ETHERNET_LEN, Ethernet, Extension, Fresh, NewHeader, Tcp, Transport, Udp, checksum, swapped,
    },
};
use privatelink_common::{Reason, Scratch, UDP};

/// The stage that carries packets, or fragments, from one family to the other.
#[inline(never)]
pub fn translate<F: Frame, T: Operations, I: Fresh + Chained, const PART: bool>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Verdict {
    let packet = &match Packet::<I>::read_slowly(frame, tables, scratch.network.load()) {
        Ok(packet) => packet,
        Err(reason) => return Verdict::drop(reason),
    };
    match packet.arrival.protocol {
        Tcp::PROTOCOL => {
            translate_transport::<F, T, I, I::Other, Tcp, PART>(frame, tables, scratch, packet)
        }
        _ => translate_transport::<F, T, I, I::Other, Udp, PART>(frame, tables, scratch, packet),
    }
}

#[inline(always)]
fn translate_transport<
    F: Frame,
    T: Operations,
    I: Fresh,
    O: Fresh,
    L: Transport,
    const PART: bool,
>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
    packet: &Packet<I>,
) -> Verdict {
    let internal = Verdict::drop(Reason::Internal);
    let Some(leg) = Leg::at(tables, scratch.slot.load()) else { return internal };
    let endpoint = leg.slot.endpoint();
    let mut ingress = Ingress::of(&leg);
    ingress.max_input_len = if PART {
        max_fragment_input_len::<I>(O::LEAVES, ingress.max_input_len)
    } else {
        max_input_len::<I>(O::LEAVES, ingress.max_input_len)
    };
    let stopped = stop(frame, tables, packet, scratch, &leg, &ingress);
    if !stopped.is_nothing() {
        if !PART && L::PROTOCOL == Udp::PROTOCOL {
            scratch.mtu.store(leave_room::<I>(O::LEAVES, scratch.mtu.load()));
        }
        return stopped.verdict(endpoint);
    }
    let egress = Egress::<O>::of(&leg);
    let ports = swapped(egress.ports);
    let fault = rewrite_ports::<F, T, I, L, PART>(frame, tables, packet, &leg, ports);
    if let Some(reason) = fault {
        return Verdict::drop_at(reason, endpoint);
    }

    let Some(header) = frame.view::<I>(ETHERNET_LEN) else { return internal };
    let (class, hops) = (header.class(), header.ttl().wrapping_sub(1));
    let marks = if PART { O::FRAGMENT_LEN } else { 0 };
    let payload_at = if PART { chain::bounded(packet.part_at()) } else { packet.transport() };
    let payload = packet.length.wrapping_sub((payload_at - ETHERNET_LEN) as u32);
    let by = payload_at as i32 - (ETHERNET_LEN + O::LEN + marks) as i32;
    if frame.change_family(O::ETHERTYPE, by).is_none() {
        return Verdict::drop_at(Reason::Internal, endpoint);
    }
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return internal };
    ethernet.readdress(egress.mac, egress.hop);
    ethernet.set_ethertype(O::ETHERTYPE);
    // The count changes from packet to packet of a flow; small packets may be cut into pieces.
    let identification = if PART { scratch.identification.load() } else { leg.slot.counted().1 };
    // A later fragment's own protocol field is not to be trusted.
    let protocol = if PART { leg.protocol() } else { packet.arrival.protocol } as u8;
    if marks != 0 {
        let Some(header) = frame.view::<Extension>(ETHERNET_LEN + O::LEN) else { return internal };
        header.compose(protocol, packet.fragment.place, identification);
    }
    let Some(header) = frame.view::<O>(ETHERNET_LEN) else { return internal };
    header.compose_as(&NewHeader {
        source: egress.source,
        destination: egress.destination,
        protocol: if marks != 0 { Extension::FRAGMENT as u8 } else { protocol },
        payload: payload + marks as u32,
        class,
        hops,
        identification: identification as u16,
        place: if PART { packet.fragment.place } else { 0 },
    });
    let transport = ETHERNET_LEN + O::LEN + marks;
    // A fragment is one packet.
    let is_one = PART || !F::DEFERS_CHECKSUMS;
    let load = if is_one { Load::one(packet.length) } else { weigh(frame, packet) };
    let sent = Sent { load, flags: packet.flags, transport };
    finish::<T, O, L>(tables, scratch, &leg, &egress, &sent)
}

/// What a packet that the kernel cuts later weighs.
///
/// Out of line: the stack of [`translate_transport`] has no room for it.
#[inline(never)]
fn weigh<F: Frame, I: Fresh>(frame: &F, packet: &Packet<I>) -> Load {
    packet.load(frame.segments())
}

/// Rewrites the transport header, where there is one; returns what keeps the packet from going on.
#[inline(always)]
fn rewrite_ports<F: Frame, T: Operations, I: Fresh, L: Transport, const PART: bool>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
    leg: &Leg<'_>,
    ports: u32,
) -> Option<Reason> {
    if PART && packet.fragment.is_later() {
        return None;
    }
    let Some(transport) = frame.view::<L>(packet.transport()) else {
        return Some(Reason::Internal);
    };
    let lacks = I::UDP_MAY_LACK_CHECKSUM && !transport.has_checksum();
    if lacks && (PART || !add_checksum::<F, T, I>(frame, tables, packet)) {
        return Some(Reason::NoChecksum);
    }
    match rewrite_transport::<F, L>(frame, packet.transport(), ports, leg) {
        Some(()) => None,
        None => Some(Reason::Internal),
    }
}

/// Computes the checksum of a UDP datagram that has none, because IPv6 requires one; `false` if
/// the datagram lies in several buffers.
#[inline(never)]
fn add_checksum<F: Frame, T: Operations, I: Fresh>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
) -> bool {
    let at = packet.transport();
    let Some(udp) = frame.view::<Udp>(at) else { return false };
    let length = u32::from(u16::from_be(udp.length()));
    let Some(sum) = sum::over(frame, tables, at, length) else { return false };
    let Arrival { source, destination, .. } = packet.arrival;
    let check = !checksum::fold(sum + I::pseudo_sum(source, destination, UDP, length));
    let Some(udp) = frame.view::<Udp>(at) else { return false };
    udp.set_check(if check == 0 { 0xffff } else { check });
    true
}
