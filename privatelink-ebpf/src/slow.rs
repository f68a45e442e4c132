//! The second stage: everything that is not an established flow's ordinary packet.

use crate::{
    carry::{self, Way},
    flow_table::Found,
    frame::Frame,
    neighbour,
    open::open,
    packet::Packet,
    phase,
    tables::Tables,
    verdict::Verdict,
    wire::{EtherType, Ethernet, Head, Ip, Ipv4, Ipv6, Tcp, Transport, Udp},
};
use privatelink_common::{Admission, Reason, TargetState};

/// Decides about one frame that [`fast`](crate::fast) did not carry.
#[inline(always)]
pub fn slow<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Verdict {
    let Some(network) = tables.network(frame.ingress()) else { return Verdict::Pass };
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::Pass };
    match ethernet.ethertype() {
        EtherType::IPV4 => slow_ip::<F, T, Ipv4>(frame, tables, network),
        EtherType::IPV6 => slow_ip::<F, T, Ipv6>(frame, tables, network),
        EtherType::ARP => neighbour::answer_arp(frame, tables, network),
        _ => Verdict::Pass,
    }
}

#[inline(never)]
fn slow_ip<F: Frame, T: Tables, I: Ip>(frame: &mut F, tables: &T, network: u32) -> Verdict {
    let read = read::<F, I>(frame, network);
    let packet = match &read {
        Ok(packet) => packet,
        Err(reason) => return neighbour::other::<F, T, I>(frame, tables, network, *reason),
    };
    let index = match tables.search(&packet.arrival) {
        Some(index) => index,
        None => match open(frame, tables, packet) {
            Ok(index) => index,
            Err(verdict) => return verdict,
        },
    };
    carry_slowly(frame, tables, packet, index)
}

/// [`Packet::read`] out of line: what it holds in registers need not stay on the stack.
#[inline(never)]
fn read<F: Frame, I: Ip>(frame: &mut F, network: u32) -> Result<Packet<I>, Reason> {
    Packet::read(frame, network)
}

/// Clears whatever stands in the way of a packet, or refuses it.
#[inline(never)]
fn carry_slowly<F: Frame, T: Tables, I: Ip>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
    index: u32,
) -> Verdict {
    match packet.arrival.protocol {
        Tcp::PROTOCOL => carry_transport::<F, T, I, Tcp>(frame, tables, packet, index),
        _ => carry_transport::<F, T, I, Udp>(frame, tables, packet, index),
    }
}

#[inline(always)]
fn carry_transport<F: Frame, T: Tables, I: Ip, L: Transport>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
    index: u32,
) -> Verdict {
    let Some(found) = Found::at(tables, index) else { return Verdict::drop(Reason::Internal) };
    let Some(head) = frame.view::<Head<I, L>>(0) else { return Verdict::Pass };
    if head.ethernet.to() != Way::<I>::of(&found).own {
        return Verdict::Pass;
    }
    let endpoint = found.slot.endpoint();
    if let Some(reason) = refused(&found) {
        return Verdict::drop_at(reason, endpoint);
    }
    let way = Way::<I>::of(&found);
    if packet.length > way.mtu {
        return Verdict::drop_at(Reason::TooBig, endpoint);
    }
    if head.ip.ttl() <= 1 {
        return Verdict::drop_at(Reason::TtlExpired, endpoint);
    }
    // Only what goes on moves the flow.
    if carry::turns(packet.flags, found.word) {
        phase::follow::<T, I>(tables, index, packet.flags);
    }
    let sender = head.ethernet.from();
    if !found.is_reverse() && sender != found.slot.client_mac() {
        phase::follow_client::<T, I>(tables, index, sender.0, sender.1);
    }
    carry::send(head, tables, packet.length, &found, &way)
}

/// Why a flow that exists may not go on, if it may not.
#[inline(always)]
fn refused(found: &Found<'_>) -> Option<Reason> {
    if let Some(reason) = refused_admission(found.endpoint.admission) {
        return Some(reason);
    }
    if found.target.state != TargetState::Present as u32 {
        return Some(Reason::NoTarget);
    }
    if !found.is_reverse() && found.target.hop == [0; 6] {
        return Some(Reason::NoNeighbour);
    }
    None
}

/// What an endpoint's admission says against a packet of a flow.
#[inline(always)]
pub fn refused_admission(admission: u32) -> Option<Reason> {
    const AVAILABLE: u32 = Admission::Available as u32;
    const DRAINING: u32 = Admission::Draining as u32;
    const PENDING: u32 = Admission::Pending as u32;
    const EXPIRED: u32 = Admission::Expired as u32;
    match admission {
        AVAILABLE | DRAINING => None,
        PENDING => Some(Reason::Pending),
        EXPIRED => Some(Reason::Expired),
        _ => Some(Reason::Rejected),
    }
}
