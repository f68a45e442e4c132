//! The second stage: finds the flow of a packet that the first stage left, and answers for the
//! gateway's own addresses.

use crate::{
    environment::Frame,
    flows::{operations::Operations, table::Arrival},
    stages::{
        chain::Chained,
        neighbour,
        packet::{Packet, opens_tcp},
        sum,
        verdict::Verdict,
        vlan,
    },
    wire::{ETHERNET_LEN, EtherType, Ethernet, Fresh, Ipv4, Ipv6, Tcp, checksum, tcp_flags},
};
use privatelink_common::{
    EndCause, Reason, Scratch, Stage, TAGGED_ONLY, TCP,
    flow::{Phase, word},
    room,
};

/// Decides about one frame that [`fast`](crate::fast) did not carry.
#[inline(never)]
pub fn slow<F: Frame, T: Operations>(frame: &mut F, tables: &T, scratch: &Scratch) -> Verdict {
    let Some(network) = tables.network(frame.ingress()) else { return Verdict::Pass };
    scratch.tag.store(0);
    scratch.leaves.store(0);
    if frame.view::<Ethernet>(0).is_none() {
        return Verdict::drop(Reason::Malformed);
    }
    let network = if frame.is_tagged() {
        let Some(network) = vlan::take_off(frame, tables, scratch, network) else {
            // No network of the gateway: it is up to the host what that VLAN is.
            return Verdict::Pass;
        };
        network
    } else if network == TAGGED_ONLY {
        return Verdict::Pass;
    } else {
        network
    };
    scratch.network.store(network);
    scratch.fault.store(Scratch::NO_FAULT);
    scratch.room.store(room::UNASKED);
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::drop(Reason::Malformed) };
    match ethernet.ethertype() {
        EtherType::IPV4 => slow_ip::<F, T, Ipv4>(frame, tables, scratch),
        // Not further down: a whole chain of calls has 512 bytes of stack.
        EtherType::IPV6
            if neighbour::is_solicitation(frame)
                && neighbour::answer_solicitation(frame, tables, network, true).is_some() =>
        {
            Verdict::Send { ifindex: frame.ingress() }
        }
        EtherType::IPV6 => slow_ip::<F, T, Ipv6>(frame, tables, scratch),
        EtherType::ARP => neighbour::answer_arp(frame, tables, network),
        _ => Verdict::NOT_OURS,
    }
}

#[inline(never)]
fn slow_ip<F: Frame, T: Operations, I: Fresh + Chained>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Verdict {
    let network = scratch.network.load();
    // An IPv4 address in an IPv6 header would be taken for the address that the maps hold, but the
    // packets of that flow would not be.
    let is_mapped = frame.view::<I>(ETHERNET_LEN).is_some_and(|header| header.is_mapped());
    let read = if is_mapped {
        Err(Reason::Malformed)
    } else {
        Packet::<I>::read_slowly(frame, tables, network)
    };
    let packet = match &read {
        Ok(packet) => packet,
        Err(reason) => return neighbour::other::<F, T, I>(frame, tables, network, *reason),
    };
    if packet.fragment.is_later() {
        return Verdict::Next(Stage::Fragment);
    }
    // A fragment alone cannot be verified.
    if packet.arrival.protocol == u32::from(TCP)
        && opens_tcp(packet.flags)
        && !packet.fragment.is_part()
    {
        scratch.fault.store(fault::<F, T, I>(frame, tables, packet));
    }
    let Some(index) = tables.search(&packet.arrival) else { return Verdict::Next(Stage::Open) };
    if reopens(tables, scratch, packet, index) {
        let has_ended = tables.end_flow(index, EndCause::Closed as u32);
        if has_ended {
            return Verdict::Next(Stage::Open);
        }
    }
    scratch.slot.store(index);
    if packet.fragment.is_part() {
        return Verdict::Next(Stage::Fragment);
    }
    Verdict::Next(Stage::Carry)
}

/// Whether a packet opens a flow anew under the tuple of one that is over.
#[inline(always)]
fn reopens<T: Operations, I: Fresh>(
    tables: &T,
    scratch: &Scratch,
    packet: &Packet<I>,
    index: u32,
) -> bool {
    packet.arrival.protocol == u32::from(TCP)
        && opens_tcp(packet.flags)
        && packet.flags & tcp_flags::FIN == 0
        && !packet.fragment.is_part()
        && scratch.fault.load() == Scratch::NO_FAULT
        && tables.slot(index).is_some_and(|slot| is_over(slot.word()))
}

/// Whether a client may take a flow for closed: both ends have said so, or its target has refused
/// it. An RST that an open flow has seen is no reason; see `may_begin_anew`.
#[inline(always)]
fn is_over(word: u32) -> bool {
    const REFUSED: u32 = Phase::Opening.bits() | word::RESET_OUT;
    let phase = word & (word::PHASE | word::REVERSE);
    phase == Phase::Closing.bits() || phase | word & word::DOUBT == REFUSED
}

/// What is wrong with a packet that may open a flow, as [`Scratch::fault`] has it. The checksums of
/// other packets are left to the receiver, but this packet makes the gateway allocate a flow.
#[inline(always)]
fn fault<F: Frame, T: Operations, I: Fresh + Chained>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
) -> u32 {
    let at = packet.transport();
    if frame.is_unfinished::<Tcp>(at) {
        return Scratch::NO_FAULT;
    }
    let length = packet.length.wrapping_sub((at - ETHERNET_LEN) as u32);
    let Some(sum) = sum::over(frame, tables, at, length) else {
        return Reason::Malformed as u32;
    };
    let Arrival { source, destination, .. } = packet.arrival;
    let sum = sum + I::pseudo_sum(source, destination, TCP, length);
    if checksum::fold(sum) == 0xffff { Scratch::NO_FAULT } else { Reason::BadChecksum as u32 }
}
