//! Opens a flow: whether there may be one, to which target, from which source address and port.

use crate::{
    environment::{Frame, Walk},
    flows::{
        operations::Operations,
        policy,
        table::{Arrival, Taken},
    },
    stages::{
        chain::Chained,
        egress::max_input_len,
        packet::{Packet, opens_tcp},
        stop::refused_admission,
        verdict::Verdict,
    },
    wire::{ETHERNET_LEN, Ethernet, Ip, Ipv4, Ipv6, checksum, tcp_flags},
};
use core::marker::PhantomData;
use privatelink_common::{
    Admission, Endpoint, Listener, ListenerKey, LocalKey, LocalKind, Opening, Pool, Reason,
    Scratch, Stage, TCP, TargetState,
    cell::Word32,
    flow::{Content, Phase, split_mac, word},
    policy::limited,
};

/// First port that a flow may be given.
const FIRST_PORT: u32 = 1024;
/// Ports of one source address.
const PORTS: u32 = 65_536 - FIRST_PORT;
/// Ports tried before a flow is refused: with one in twenty free, all of these are taken once
/// in half a million.
const PORT_ATTEMPTS: u32 = 256;
/// How often another CPU may take the very port that looked free.
const CLAIM_ATTEMPTS: u32 = 3;

/// The stage that makes the flow which a packet opens, or says what becomes of one without.
#[inline(never)]
pub fn open<F: Frame, T: Operations, I: Chained>(
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
    let Some(local) = tables.local(&key) else { return Verdict::Pass };
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::Pass };
    if ethernet.to() != split_mac(local.mac) {
        return Verdict::Pass;
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
    let mut chosen = choose(tables, scratch, packet, index);
    let flow = match &mut chosen {
        Ok(flow) => flow,
        Err(reason) => return refuse(*reason),
    };
    (flow.content.client_mac_high, flow.content.client_mac_low) = client_mac;
    // What goes no further opens nothing.
    match frame.view::<I>(ETHERNET_LEN) {
        Some(header) if header.ttl() > 1 => {}
        _ => return refuse(Reason::TtlExpired),
    }
    if let Some(reason) = Reason::of(scratch.fault.load()) {
        return refuse(reason);
    }
    let entered = if flow.leaves == Ipv6::LEAVES {
        enter::<T, I, Ipv6>(tables, &mut PortSearch::of(&packet.arrival, flow))
    } else {
        enter::<T, I, Ipv4>(tables, &mut PortSearch::of(&packet.arrival, flow))
    };
    match entered {
        Ok(slot) => scratch.slot.store(slot),
        Err(reason) => return refuse(reason),
    }
    if packet.fragment.is_part() {
        return Verdict::Next(Stage::Fragment);
    }
    Verdict::Next(Stage::Carry)
}

/// Notes what a packet would open, if it would open anything.
#[inline(always)]
fn note<I: Ip>(opening: &Opening, packet: &Packet<I>) {
    let arrival = &packet.arrival;
    if arrival.protocol == u32::from(TCP) && !opens_tcp(packet.flags) {
        opening.protocol.store(0);
        return;
    }
    let put = |place: &[Word32; 4], address: I::Address| {
        for (cell, word) in place.iter().zip(I::to_addr(address).words()) {
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
fn choose<T: Operations, I: Ip>(
    tables: &T,
    scratch: &Scratch,
    packet: &Packet<I>,
    index: u32,
) -> Result<NewFlow, Reason> {
    let endpoint = tables.endpoint(index).ok_or(Reason::Internal)?;
    if !Admission::opens(endpoint.admission) {
        return Err(refused_admission(endpoint.admission).unwrap_or(Reason::Rejected));
    }
    let arrival = &packet.arrival;
    let key = ListenerKey {
        service: endpoint.service,
        port: second(arrival.ports),
        protocol: arrival.protocol as u16,
    };
    let listener = tables.listener(&key).ok_or(Reason::NoListener)?;
    let opens = tcp_flags::SYN;
    let does_not = tcp_flags::ACK | tcp_flags::RST | tcp_flags::FIN;
    if arrival.protocol == u32::from(TCP) && packet.flags & (opens | does_not) != opens {
        return Err(Reason::NoFlow);
    }

    if let Some(reason) = refused_by_policy::<T, I>(tables, endpoint, index, arrival) {
        return Err(reason);
    }

    let hash = arrival.hash_slowly(tables);
    let backends = I::backends(&listener);
    let sticks = listener.flags & Listener::STICKY != 0;
    let picks = if sticks { arrival.client_hash(tables) } else { hash };
    let target_index = pick(backends, picks as u32)
        .and_then(|index| tables.backend(index))
        .ok_or(Reason::NoTarget)?;
    let target = tables.target(target_index).ok_or(Reason::Internal)?;
    if target.state != TargetState::Present as u32 {
        return Err(Reason::NoTarget);
    }
    if split_mac(target.hop) == (0, 0) {
        return Err(Reason::NoNeighbour);
    }
    let leaves = if target.address.is_v4() { Ipv4::LEAVES } else { Ipv6::LEAVES };
    let most = max_input_len::<I>(leaves, target.largest());
    if packet.length > most {
        scratch.mtu.store(most);
        return Err(Reason::TooBig);
    }
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
        provider_ports: pair(listener.target_port, 0),
        endpoint: index,
        target: target_index,
        source: sources.first,
        client_mac_low: 0,
        client_mac_high: 0,
        l3_delta: checksum::TTL_STEP,
        l4_delta: 0,
        reserved: 0,
    };
    Ok(NewFlow {
        word: arrival.protocol << word::PROTOCOL_SHIFT | phase.bits(),
        leaves,
        sources,
        start: (hash >> 32) as u32,
        stride: hash as u32 | 1,
        number: 0,
        content,
    })
}

/// What the endpoint's rules and limits say against a flow to be.
#[inline(never)]
fn refused_by_policy<T: Operations, I: Ip>(
    tables: &T,
    endpoint: &Endpoint,
    index: u32,
    arrival: &Arrival<I>,
) -> Option<Reason> {
    let port = u16::from_be(second(arrival.ports));
    if !policy::is_allowed(tables, endpoint, &I::to_addr(arrival.source), port) {
        return Some(Reason::NotAllowed);
    }
    if endpoint.limits & limited::FLOWS == 0 {
        return None;
    }
    policy::refused_flow(tables, index)
}

/// Two ports in network order as they lie side by side on the wire.
#[inline(always)]
fn pair(first: u16, second: u16) -> u32 {
    let ([a, b], [c, d]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

/// The first of two ports that lie side by side.
#[inline(always)]
fn first(ports: u32) -> u16 {
    let [a, b, _, _] = ports.to_ne_bytes();
    u16::from_ne_bytes([a, b])
}

/// The second of two ports that lie side by side.
#[inline(always)]
fn second(ports: u32) -> u16 {
    let [_, _, c, d] = ports.to_ne_bytes();
    u16::from_ne_bytes([c, d])
}

/// An index of a pool, evenly by hash.
#[inline(always)]
fn pick(pool: Pool, hash: u32) -> Option<u32> {
    let offset = (u64::from(hash) * u64::from(pool.count)) >> 32;
    (pool.count != 0).then(|| pool.first.wrapping_add(offset as u32))
}

/// Enters both directions, or neither.
#[inline(always)]
fn enter<T: Operations, I: Ip, O: Ip>(
    tables: &T,
    search: &mut PortSearch<'_, I, O>,
) -> Result<u32, Reason> {
    let reverse = claim_port(tables, search)?;
    let taken = match enter_direction(tables, search, false) {
        Ok(index) => {
            let content = &search.flow.content;
            tables.count_endpoint(content.endpoint, |count| count.new_flows += 1);
            tables.count_target(content.target, |count| count.opened += 1);
            if let Some(meter) = tables.meter(content.endpoint) {
                tables.add(&meter.flows, 1);
            }
            return Ok(index);
        }
        Err(taken) => taken,
    };
    tables.remove(reverse, search.word(true) | word::LIVE);
    match taken {
        // Another CPU made the same flow at the same time: this packet goes with it.
        Taken::Exists => tables.search(search.arrival).ok_or(Reason::Contended),
        Taken::Full => Err(Reason::FlowTableFull),
        Taken::Contended => Err(Reason::Contended),
    }
}

/// Enters the direction from the target under a source address and port that nobody uses
/// towards it: this is what allocates them.
#[inline(always)]
fn claim_port<T: Operations, I: Ip, O: Ip>(
    tables: &T,
    search: &mut PortSearch<'_, I, O>,
) -> Result<u32, Reason> {
    search.propose(0);
    let mut claimed = enter_direction(tables, search, true);
    for _ in 1..CLAIM_ATTEMPTS {
        if claimed != Err(Taken::Exists) {
            break;
        }
        tables.walk(PORT_ATTEMPTS, search);
        claimed = enter_direction(tables, search, true);
    }
    claimed.map_err(|taken| match taken {
        Taken::Exists => Reason::PortsExhausted,
        Taken::Full => Reason::FlowTableFull,
        Taken::Contended => Reason::Contended,
    })
}

/// Enters one direction of the flow to be.
#[inline(never)]
fn enter_direction<T: Operations, I: Ip, O: Ip>(
    tables: &T,
    search: &mut PortSearch<'_, I, O>,
    reverse: bool,
) -> Result<u32, Taken> {
    let reply = search.reply(tables).ok_or(Taken::Full)?;
    let (client, target) = (search.arrival.address_sum(), reply.address_sum());
    let (client_ports, target_ports) = (search.arrival.port_sum(), reply.port_sum());
    let (from, to) = if reverse { (target, client) } else { (client, target) };
    let (from_ports, to_ports) =
        if reverse { (target_ports, client_ports) } else { (client_ports, target_ports) };
    let l3 = checksum::difference(from, to);
    let l4 = checksum::difference(from + from_ports, to + to_ports);
    let word = search.word(reverse);
    let content = &mut search.flow.content;
    content.l3_delta = checksum::fold(u32::from(l3) + u32::from(checksum::TTL_STEP));
    content.l4_delta = l4;
    if reverse {
        tables.insert(&reply, word, content)
    } else {
        tables.insert(search.arrival, word, content)
    }
}

/// A flow to be.
struct NewFlow {
    /// What the words of both directions have in common.
    word: u32,
    /// What the word says of packets that leave as the target's family.
    leaves: u32,
    sources: Pool,
    /// Where the search for a port starts, secret to everybody else.
    start: u32,
    stride: u32,
    /// Which step of the search the source address and port of the content are.
    number: u32,
    /// What the slots are filled with.
    content: Content,
}

/// The search for a source address and port, for a client of one family and a target of another
/// or the same.
struct PortSearch<'p, I: Ip, O: Ip> {
    /// The tuple from the client.
    arrival: &'p Arrival<I>,
    flow: &'p mut NewFlow,
    family: PhantomData<O>,
}

impl<I: Ip, O: Ip, T: Operations> Walk<T> for PortSearch<'_, I, O> {
    /// Goes on to the next source address and port that looks free.
    #[inline(always)]
    fn step(&mut self, tables: &T, _number: u32) -> bool {
        let next = self.flow.number.wrapping_add(1);
        self.propose(next);
        self.reply(tables).is_none_or(|arrival| tables.search(&arrival).is_none())
    }
}

impl<'p, I: Ip, O: Ip> PortSearch<'p, I, O> {
    #[inline(always)]
    fn of(arrival: &'p Arrival<I>, flow: &'p mut NewFlow) -> Self {
        Self { arrival, flow, family: PhantomData }
    }

    /// The word of one direction.
    #[inline(always)]
    fn word(&self, reverse: bool) -> u32 {
        let families =
            if reverse { word::REVERSE | O::ARRIVES | I::LEAVES } else { I::ARRIVES | O::LEAVES };
        self.flow.word | families
    }

    /// Puts the source address and port of a step of the search.
    #[inline(always)]
    fn propose(&mut self, number: u32) {
        let places = u64::from(self.flow.sources.count) * u64::from(PORTS);
        let place = u64::from(self.flow.start) + u64::from(number) * u64::from(self.flow.stride);
        let place = place.checked_rem(places).unwrap_or(0);
        let (source, port) = (place / u64::from(PORTS), place % u64::from(PORTS));
        self.flow.number = number;
        self.flow.content.source = self.flow.sources.first + source as u32;
        let target_port = first(self.flow.content.provider_ports);
        let port = ((FIRST_PORT + port as u32) as u16).to_be();
        self.flow.content.provider_ports = pair(target_port, port);
    }

    /// The tuple of the target's packets.
    #[inline(always)]
    fn reply<T: Operations>(&self, tables: &T) -> Option<Arrival<O>> {
        let target = tables.target(self.flow.content.target)?;
        Some(Arrival {
            network: target.network,
            source: O::from_addr(&target.address),
            destination: O::from_addr(&tables.source(self.flow.content.source)?.address),
            ports: self.flow.content.provider_ports,
            protocol: self.arrival.protocol,
        })
    }
}
