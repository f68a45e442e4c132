//! The second stage: finds the flow of what is not an established flow's ordinary packet, and
//! answers for the gateway's own addresses.

use crate::{
    frame::Frame,
    neighbour,
    packet::Packet,
    tables::Tables,
    verdict::Verdict,
    wire::{Control, EtherType, Ethernet, Ipv4, Ipv6},
};
use privatelink_common::{Reason, Stage};

/// Decides about one frame that [`fast`](crate::fast) did not carry.
#[inline(always)]
pub fn slow<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Verdict {
    let Some(network) = tables.network(frame.ingress()) else { return Verdict::Pass };
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::Pass };
    let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
    scratch.network.store(network);
    match ethernet.ethertype() {
        EtherType::IPV4 => slow_ip::<F, T, Ipv4>(frame, tables, network),
        EtherType::IPV6 => slow_ip::<F, T, Ipv6>(frame, tables, network),
        EtherType::ARP => neighbour::answer_arp(frame, tables, network),
        _ => Verdict::Pass,
    }
}

#[inline(never)]
fn slow_ip<F: Frame, T: Tables, I: Control>(frame: &mut F, tables: &T, network: u32) -> Verdict {
    let read = Packet::<I>::read_slowly(frame, tables, network);
    let packet = match &read {
        Ok(packet) => packet,
        Err(reason) => return neighbour::other::<F, T, I>(frame, tables, network, *reason),
    };
    if packet.fragment.is_later() {
        return Verdict::Next(Stage::Fragment);
    }
    let Some(index) = tables.search(&packet.arrival) else { return Verdict::Next(Stage::Open) };
    let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
    scratch.slot.store(index);
    if packet.fragment.is_part() {
        return Verdict::Next(Stage::Fragment);
    }
    Verdict::Next(Stage::Carry)
}
