//! Opens a flow: whether there may be one, to which target, from which source address and port.

use super::{
    chain::Chained,
    egress::{leave_room, max_input_len},
    packet::{Packet, opens_tcp},
    ports::{self, NewFlow, PortSearch},
    sender,
    stop::refused_admission,
    verdict::Verdict,
};
use crate::{
    environment::Frame,
    flows::{operations::Operations, policy, rules, table::Arrival},
    wire::{
        Control, ETHERNET_LEN, Ethernet, Ip, Ipv4, Ipv6, Transport as _, Udp, checksum, tcp_flags,
    },
};
use privatelink_common::{
    Admission, Endpoint, Listener, ListenerKey, LocalKey, LocalKind, Opening, Pool, Reason,
    Scratch, Stage, TCP, TargetState,
    cell::Word32,
    flow::{Content, Phase, split_mac, word},
    policy::limited,
    room,
};

/// Makes the flow that a packet opens, or decides about a packet without one.
#[inline(never)]
pub fn open<F: Frame, T: Operations, I: Chained + Control>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Verdict {
    let read = Packet::<I>::read_slowly(frame, tables, scratch.network.load());
    let packet = match &read {
        Ok(packet) => packet,
        Err(reason) => return Verdict::drop(*reason),
    };
    let key = LocalKey {
        network: packet.arrival.network,
        address: I::to_addr(packet.arrival.destination),
    };
    let Some(local) = tables.local(&key) else { return Verdict::NOT_OURS };
    if !local.is_served() {
        return Verdict::NOT_OURS;
    }
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::NOT_OURS };
    if ethernet.to() != split_mac(local.mac) {
        return Verdict::NOT_OURS;
    }
    let client_mac = ethernet.from();
    if local.kind != LocalKind::Endpoint as u32 {
        return Verdict::drop(Reason::NoFlow);
    }
    note(&scratch.opening, packet);
    let index = local.index;
    let refuse = |reason| {
        tables.report(reason as u32, index);
        Verdict::drop_at(reason, index)
    };
    if sender::is_group(client_mac) || client_mac == split_mac(local.mac) {
        return refuse(Reason::Sender);
    }
    let largest = packet.largest(frame.segments());
    let mut chosen = choose(tables, scratch, packet, largest, index);
    let flow = match &mut chosen {
        Ok(flow) => flow,
        Err(reason) => return refuse(*reason),
    };
    (flow.content.client_mac_high, flow.content.client_mac_low) = client_mac;
    // A packet that goes no further opens nothing.
    match frame.view::<I>(ETHERNET_LEN) {
        Some(header) if header.ttl() > 1 => {}
        _ => return refuse(Reason::TtlExpired),
    }
    if let Some(reason) = Reason::of(scratch.fault.load()) {
        return refuse(reason);
    }
    let answer = scratch.room.load();
    if !tables.reserve(index, answer == room::MADE) {
        return match answer {
            room::UNASKED => ask_for_room(scratch, index, flow),
            _ => refuse(Reason::FlowTableFull),
        };
    }
    match enter(tables, packet, flow) {
        Ok(slot) => scratch.slot.store(slot),
        Err(reason) => return refuse(reason),
    }
    if packet.fragment.is_part() {
        return Verdict::Next(Stage::Fragment);
    }
    Verdict::Next(Stage::Carry)
}

/// Asks for a flow to be displaced by the one that is to be opened.
#[inline(always)]
fn ask_for_room(scratch: &Scratch, endpoint: u32, flow: &NewFlow) -> Verdict {
    scratch.sharer.store(endpoint);
    scratch.place.store(flow.draw());
    Verdict::Next(Stage::Room)
}

/// Enters a flow under a source port of the family as which its packets leave.
#[inline(always)]
fn enter<T: Operations, I: Ip>(
    tables: &T,
    packet: &Packet<I>,
    flow: &mut NewFlow,
) -> Result<u32, Reason> {
    let arrival = &packet.arrival;
    if flow.leaves == Ipv6::LEAVES {
        ports::enter::<T, I, Ipv6>(tables, &mut PortSearch::of(arrival, flow))
    } else {
        ports::enter::<T, I, Ipv4>(tables, &mut PortSearch::of(arrival, flow))
    }
}

/// Notes what a packet would open, if it would open anything: the record of a refused flow is
/// written from these notes.
#[inline(always)]
fn note<I: Ip>(opening: &Opening, packet: &Packet<I>) {
    let arrival = &packet.arrival;
    if arrival.protocol == u32::from(TCP) && !opens_tcp(packet.flags) {
        opening.protocol.store(0);
        return;
    }
    let put = |cells: &[Word32; 4], address: I::Address| {
        for (cell, word) in cells.iter().zip(I::to_addr(address).words()) {
            cell.store(word);
        }
    };
    put(&opening.client, arrival.source);
    put(&opening.address, arrival.destination);
    opening.ports.store(arrival.ports);
    opening.protocol.store(arrival.protocol);
    opening.length.store(packet.length);
}

/// Checks that there may be a flow, and picks its target.
#[inline(never)]
fn choose<T: Operations, I: Control>(
    tables: &T,
    scratch: &Scratch,
    packet: &Packet<I>,
    largest: u32,
    index: u32,
) -> Result<NewFlow, Reason> {
    if !sender::is_client(tables, packet) {
        return Err(Reason::Sender);
    }
    let endpoint = tables.endpoint(index).ok_or(Reason::Internal)?;
    if !Admission::opens(endpoint.admission) {
        return Err(refused_admission(endpoint.admission).unwrap_or(Reason::Rejected));
    }
    let arrival = &packet.arrival;
    let key = ListenerKey {
        service: endpoint.service,
        port: ports::second(arrival.ports),
        protocol: arrival.protocol as u16,
    };
    let listener = tables.listener(&key).ok_or(Reason::NoListener)?;
    let opens = tcp_flags::SYN;
    let does_not = tcp_flags::ACK | tcp_flags::RST | tcp_flags::FIN;
    if arrival.protocol == u32::from(TCP) && packet.flags & (opens | does_not) != opens {
        return Err(Reason::NoFlow);
    }
    if let Some(reason) = refused_by_policy::<T, I>(tables, scratch, endpoint, index, arrival) {
        return Err(reason);
    }
    let choice = tables.choice(arrival, false);
    let picked = pick_target::<T, I>(tables, scratch, &packet.arrival, largest, &listener, choice)?;
    let Picked { target, port, leaves } = picked;
    let service = tables.service(endpoint.service).ok_or(Reason::Internal)?;
    let sources = if leaves == Ipv6::LEAVES { service.sources_v6 } else { service.sources_v4 };
    if sources.count == 0 {
        return Err(Reason::NoTarget);
    }
    let phase =
        if arrival.protocol == u32::from(TCP) { Phase::Opening } else { Phase::Established };
    let content = Content {
        now: tables.now(),
        client: I::to_addr(arrival.source).words(),
        consumer_ports: arrival.ports,
        provider_ports: ports::pair(port, 0),
        endpoint: index,
        target,
        source: sources.first,
        client_mac_low: 0,
        client_mac_high: 0,
        l3_delta: checksum::TTL_STEP,
        l4_delta: 0,
        reserved: 0,
    };
    let word = arrival.protocol << word::PROTOCOL_SHIFT | phase.bits();
    Ok(NewFlow::of(word, leaves, sources, choice, content))
}

/// Where a new flow goes.
struct Picked {
    /// Index of the target.
    target: u32,
    /// The port there, in network order.
    port: u16,
    /// What a slot's word says of packets that leave as the target's family.
    leaves: u32,
}

/// Picks a target of a listener.
#[inline(always)]
fn pick_target<T: Operations, I: Ip>(
    tables: &T,
    scratch: &Scratch,
    arrival: &Arrival<I>,
    largest: u32,
    listener: &Listener,
    choice: u64,
) -> Result<Picked, Reason> {
    let is_sticky = listener.flags & Listener::STICKY != 0;
    let choice = if is_sticky { tables.choice(arrival, true) } else { choice };
    let index = pick(I::backends(listener), choice as u32)
        .and_then(|index| tables.backend(index))
        .ok_or(Reason::NoTarget)?;
    let target = tables.target(index).ok_or(Reason::Internal)?;
    if target.state != TargetState::Present as u32 {
        return Err(Reason::NoTarget);
    }
    if split_mac(target.hop) == (0, 0) {
        return Err(Reason::NoNeighbour);
    }
    let leaves = if target.address.is_v4() { Ipv4::LEAVES } else { Ipv6::LEAVES };
    let max_len = max_input_len::<I>(leaves, target.largest());
    if largest > max_len {
        let is_udp = arrival.protocol == Udp::PROTOCOL;
        scratch.mtu.store(if is_udp { leave_room::<I>(leaves, max_len) } else { max_len });
        return Err(Reason::TooBig);
    }
    let port = if target.port == 0 { listener.target_port } else { target.port };
    Ok(Picked { target: index, port, leaves })
}

/// The reason for which the endpoint's rules and limits refuse a new flow.
#[inline(never)]
fn refused_by_policy<T: Operations, I: Ip>(
    tables: &T,
    scratch: &Scratch,
    endpoint: &Endpoint,
    index: u32,
    arrival: &Arrival<I>,
) -> Option<Reason> {
    let port = u16::from_be(ports::second(arrival.ports));
    let root = rules::root_of(I::RULES, arrival.protocol);
    if !rules::is_allowed(tables, endpoint, &I::to_addr(arrival.source), root, port) {
        return Some(Reason::NotAllowed);
    }
    // A flow for which room was asked has been counted against the limits.
    if endpoint.limits & limited::FLOWS == 0 || scratch.room.load() != room::UNASKED {
        return None;
    }
    policy::refused_flow(tables, index)
}

/// An index of a pool; the choice is spread evenly.
#[inline(always)]
fn pick(pool: Pool, choice: u32) -> Option<u32> {
    let offset = (u64::from(choice) * u64::from(pool.count)) >> 32;
    (pool.count != 0).then(|| pool.first.wrapping_add(offset as u32))
}
