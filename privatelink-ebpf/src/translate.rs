//! Carries a packet of a flow whose two ends are of different families (RFC 7915).
//!
//! The transport's checksum gains the difference between the two pseudo headers, which was
//! computed with all others when the flow was opened; the IP header is written anew. Options and
//! extension headers end here, as the RFC has it.

use crate::{
    carry::{Sides, Way, most_bytes, sent, stop},
    flow_table::Found,
    frame::Frame,
    packet::Packet,
    tables::Tables,
    verdict::Verdict,
    vlan,
    wire::{
        ETHERNET_LEN, EtherType, Ethernet, Fresh, Header, Ipv4, Ipv6, Tcp, Transport, Udp,
        tcp_flags,
    },
};
use privatelink_common::{Reason, Stage};

/// The stage that carries packets from one family to the other.
#[inline(always)]
pub fn translate<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Verdict {
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::Pass };
    match ethernet.ethertype() {
        EtherType::IPV4 => translate_ip::<F, T, Ipv4, Ipv6>(frame, tables),
        _ => translate_ip::<F, T, Ipv6, Ipv4>(frame, tables),
    }
}

#[inline(never)]
fn translate_ip<F: Frame, T: Tables, I: Fresh, O: Fresh>(frame: &mut F, tables: &T) -> Verdict {
    let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
    let packet = &match Packet::<I>::read_slowly(frame, tables, scratch.network.load()) {
        Ok(packet) => packet,
        Err(reason) => return Verdict::drop(reason),
    };
    match packet.arrival.protocol {
        Tcp::PROTOCOL => translate_transport::<F, T, I, O, Tcp>(frame, tables, packet),
        _ => translate_transport::<F, T, I, O, Udp>(frame, tables, packet),
    }
}

#[inline(always)]
fn translate_transport<F: Frame, T: Tables, I: Fresh, O: Fresh, L: Transport>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
) -> Verdict {
    let internal = Verdict::drop(Reason::Internal);
    let Some(scratch) = tables.scratch() else { return internal };
    let Some(found) = Found::at(tables, scratch.slot.load()) else { return internal };
    let endpoint = found.slot.endpoint();
    // A piece would have to carry the other family's marks, and only the first is looked into.
    if packet.fragment.is_part() {
        return Verdict::drop_at(Reason::Fragment, endpoint);
    }
    let Some(transport) = frame.view::<L>(packet.transport()) else { return internal };
    // Over IPv6 every datagram has a checksum, and nobody here can know this one's.
    if !transport.has_checksum() {
        return Verdict::drop_at(Reason::NoChecksum, endpoint);
    }
    let way = Way::<O>::of(&found);
    let sides = Sides { own: way.own, mtu: most_bytes::<I>(O::LEAVES, way.mtu) };
    let stopped = stop(frame, tables, packet, &found, &sides);
    if !stopped.is_nothing() {
        return stopped.verdict(endpoint);
    }
    let Some(transport) = frame.view::<L>(packet.transport()) else { return internal };
    transport.rewrite(way.ports.rotate_left(16), found.slot.l4_delta());

    let Some(header) = frame.view::<I>(ETHERNET_LEN) else { return internal };
    let (class, hops) = (header.class(), header.ttl().wrapping_sub(1));
    let before = packet.transport() - ETHERNET_LEN;
    let payload = packet.length.wrapping_sub(before as u32);
    if frame.shift(before as i32 - O::LEN as i32).is_none() {
        return Verdict::drop_at(Reason::Internal, endpoint);
    }
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return internal };
    ethernet.readdress(way.mac, way.hop);
    ethernet.set_ethertype(O::ETHERTYPE);
    let Some(header) = frame.view::<O>(ETHERNET_LEN) else { return internal };
    header.compose_as(&Header {
        source: way.source,
        destination: way.destination,
        protocol: packet.arrival.protocol as u8,
        payload,
        class,
        hops,
        // Changes from packet to packet of a flow; small packets may be cut into pieces.
        identification: found.slot.counted().1 as u16,
    });
    let verdict = sent(tables, payload + O::LEN as u32, &found, &way);
    vlan::leave_by(scratch, way.vlan);
    if L::PROTOCOL == Tcp::PROTOCOL && packet.flags & tcp_flags::SYN != 0 {
        scratch.transport.store((ETHERNET_LEN + O::LEN) as u32);
        scratch.ifindex.store(way.ifindex);
        return Verdict::Next(Stage::Clamp);
    }
    verdict
}
