//! The search for a source address and port under which the gateway speaks to a flow's target.

use crate::{
    environment::Walk,
    flows::{
        operations::Operations,
        table::{Arrival, Taken},
    },
    wire::{Ip, checksum},
};
use core::marker::PhantomData;
use privatelink_common::{
    Pool, Reason,
    flow::{Content, word},
};

/// First port that a flow may be given.
const FIRST_PORT: u32 = 1024;
/// Ports of one source address.
const PORTS: u32 = 65_536 - FIRST_PORT;
/// Ports tried before a flow is refused: with one in twenty free, all of these are taken once
/// in half a million.
const PORT_ATTEMPTS: u32 = 256;
/// Times that another CPU may take the port that looked free.
const CLAIM_ATTEMPTS: u32 = 3;
/// What divides the number of ports, however many source addresses there are, and no odd stride:
/// a search comes back to its first port after a multiple of this.
const SHORTEST_ROUND: u32 = 1 << PORTS.trailing_zeros();
const _: () = assert!((CLAIM_ATTEMPTS - 1) * PORT_ATTEMPTS < SHORTEST_ROUND);

/// A flow to be.
pub struct NewFlow {
    /// What the words of both directions have in common.
    word: u32,
    /// What the word says of packets that leave as the target's family.
    pub leaves: u32,
    /// The service's source addresses of that family.
    sources: Pool,
    /// Where the search for a port starts. It comes from a keyed function, so that other programs
    /// cannot tell which port a flow gets, and those that see ports learn nothing of the key.
    start: u32,
    /// How far a step of the search goes. It differs from flow to flow, so that two searches that
    /// meet at a taken port part again. It is odd, so that no search tries a port twice: see
    /// [`SHORTEST_ROUND`].
    stride: u32,
    /// Which step of the search the source address and port of the content are.
    number: u32,
    /// What the slots are filled with.
    pub content: Content,
}

impl NewFlow {
    /// A flow whose search for a port has not begun.
    #[inline(always)]
    pub fn of(word: u32, leaves: u32, sources: Pool, choice: u64, content: Content) -> Self {
        let (start, stride) = ((choice >> 32) as u32, choice as u32 | 1);
        Self { word, leaves, sources, start, stride, number: 0, content }
    }
}

/// Two ports in network order, side by side as on the wire.
#[inline(always)]
pub fn pair(first: u16, second: u16) -> u32 {
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
pub fn second(ports: u32) -> u16 {
    let [_, _, c, d] = ports.to_ne_bytes();
    u16::from_ne_bytes([c, d])
}

/// Enters both directions, or neither.
#[inline(always)]
pub fn enter<T: Operations, I: Ip, O: Ip>(
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

/// Enters the direction from the target under a source address and port that no other flow to the
/// target uses. There is no other record of free ports: the entry itself allocates them.
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

/// The search for a source address and port, for a client of one family and a target of another
/// or the same.
pub struct PortSearch<'p, I: Ip, O: Ip> {
    /// The tuple from the client.
    arrival: &'p Arrival<I>,
    flow: &'p mut NewFlow,
    /// The target's family.
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
    /// The search for a flow whose client sends packets with this tuple.
    #[inline(always)]
    pub fn of(arrival: &'p Arrival<I>, flow: &'p mut NewFlow) -> Self {
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
