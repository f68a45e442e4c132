//! The search for a source address and port under which the gateway speaks to a flow's target.

use crate::{
    environment::Walk,
    flows::{
        account,
        blocks::Place,
        operations::Operations,
        table::{Arrival, Taken},
    },
    wire::{Ip, checksum},
};
use core::marker::PhantomData;
use privatelink_common::{
    Pool, Reason, Scratch,
    flow::{Content, word},
    share::{BLOCK_PORTS, BLOCKS, FIRST_PORT, PORTS},
};

/// Ports tried before a flow is refused: with one in twenty free, all of these are taken once
/// in half a million.
const PORT_ATTEMPTS: u32 = 256;
/// Of these, how many are tried among the endpoint's own blocks before others' are borrowed.
const HOME_ATTEMPTS: u32 = 96;
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
    /// What the slots are filled with.
    pub content: Content,
}

impl NewFlow {
    /// A flow whose search for a port has not begun.
    #[inline(always)]
    pub fn of(word: u32, leaves: u32, sources: Pool, choice: u64, content: Content) -> Self {
        let (start, stride) = ((choice >> 32) as u32, choice as u32 | 1);
        Self { word, leaves, sources, start, stride, content }
    }

    /// A random number that says nothing of the port.
    #[inline(always)]
    pub fn draw(&self) -> u32 {
        self.stride.rotate_left(16)
    }

    /// Blocks of ports of all source addresses.
    #[inline(always)]
    fn blocks(&self) -> u32 {
        self.sources.count.wrapping_mul(BLOCKS)
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

/// Enters both directions of a flow that is counted already, or neither.
#[inline(always)]
pub fn enter<T: Operations, I: Ip, O: Ip>(
    tables: &T,
    search: &mut PortSearch<'_, I, O>,
) -> Result<u32, Reason> {
    let reverse = match claim_port(tables, search) {
        Ok(reverse) => reverse,
        Err(reason) => {
            account::cancel(tables, search.flow.content.endpoint);
            return Err(reason);
        }
    };
    let taken = match enter_direction(tables, search, false) {
        Ok(index) => {
            let content = &search.flow.content;
            tables.count_endpoint(content.endpoint, |count| count.new_flows += 1);
            tables.count_target(content.target, |count| count.opened += 1);
            return Ok(index);
        }
        Err(taken) => taken,
    };
    account::cancel(tables, search.flow.content.endpoint);
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
    let Some(Scratch { attempt, .. }) = tables.scratch() else { return Err(Reason::Internal) };
    attempt.store(0);
    search.propose(tables, 0);
    let mut claimed = claim(tables, search);
    for _ in 1..CLAIM_ATTEMPTS {
        if claimed != Err(Taken::Exists) {
            break;
        }
        tables.walk(PORT_ATTEMPTS, search);
        claimed = claim(tables, search);
    }
    claimed.map_err(|taken| match taken {
        Taken::Exists => Reason::PortsExhausted,
        Taken::Full => Reason::FlowTableFull,
        Taken::Contended => Reason::Contended,
    })
}

/// Claims the source address and port that the search has come to.
#[inline(always)]
fn claim<T: Operations, I: Ip, O: Ip>(
    tables: &T,
    search: &mut PortSearch<'_, I, O>,
) -> Result<u32, Taken> {
    let place = search.place(tables);
    if !tables.take(&place, search.flow.content.endpoint) {
        return Err(Taken::Exists);
    }
    let claimed = enter_direction(tables, search, true);
    if claimed.is_err() {
        tables.give_back(place.source, place.port);
    }
    claimed
}

/// Enters one direction of the flow to be.
#[inline(never)]
fn enter_direction<T: Operations, I: Ip, O: Ip>(
    tables: &T,
    search: &mut PortSearch<'_, I, O>,
    reverse: bool,
) -> Result<u32, Taken> {
    let reply = search.reply(tables).ok_or(Taken::Full)?;
    put_deltas(search, &reply, reverse);
    let word = search.word(reverse);
    let content = &search.flow.content;
    if reverse {
        tables.insert(&reply, word, content)
    } else {
        tables.insert(search.arrival, word, content)
    }
}

/// Puts what the checksums of a direction's packets change by. A function of its own, because the
/// sums would lie on the stack while the slot is entered.
#[inline(never)]
fn put_deltas<I: Ip, O: Ip>(search: &mut PortSearch<'_, I, O>, reply: &Arrival<O>, reverse: bool) {
    let (client, target) = (search.arrival.address_sum(), reply.address_sum());
    let (client_ports, target_ports) = (search.arrival.port_sum(), reply.port_sum());
    let (from, to) = if reverse { (target, client) } else { (client, target) };
    let (from_ports, to_ports) =
        if reverse { (target_ports, client_ports) } else { (client_ports, target_ports) };
    let l3 = checksum::difference(from, to);
    let l4 = checksum::difference(from + from_ports, to + to_ports);
    let content = &mut search.flow.content;
    content.l3_delta = checksum::fold(u32::from(l3) + u32::from(checksum::TTL_STEP));
    content.l4_delta = l4;
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
        // The number lies in a map: the verifier would follow a local variable through all values
        // that it can have.
        let Some(Scratch { attempt, .. }) = tables.scratch() else { return true };
        attempt.store(attempt.load().wrapping_add(1));
        self.propose(tables, attempt.load());
        if !tables.is_open_to(&self.place(tables), self.flow.content.endpoint) {
            return false;
        }
        self.reply(tables).is_none_or(|arrival| tables.search(&arrival).is_none())
    }
}

impl<'p, I: Ip, O: Ip> PortSearch<'p, I, O> {
    /// The search for a flow whose client sends packets with this tuple.
    #[inline(always)]
    pub fn of(arrival: &'p Arrival<I>, flow: &'p mut NewFlow) -> Self {
        Self { arrival, flow, family: PhantomData }
    }

    /// The endpoint's own blocks of ports: the first one, and how many. Not kept, because the stack
    /// is short.
    #[inline(always)]
    fn home<T: Operations>(&self, tables: &T) -> (u32, u32) {
        let all = self.flow.blocks();
        tables.share(self.flow.content.endpoint).map_or((0, all), |share| share.blocks(all))
    }

    /// The word of one direction.
    #[inline(always)]
    fn word(&self, reverse: bool) -> u32 {
        let families =
            if reverse { word::REVERSE | O::ARRIVES | I::LEAVES } else { I::ARRIVES | O::LEAVES };
        // The target has not answered.
        let phase = if reverse { word::PHASE } else { 0 };
        self.flow.word & !phase | word::UNSETTLED | families
    }

    /// Puts the source address and port of a step of the search.
    #[inline(always)]
    fn propose<T: Operations>(&mut self, tables: &T, number: u32) {
        let all = self.flow.blocks();
        let (first_block, own) = if number < HOME_ATTEMPTS { self.home(tables) } else { (0, all) };
        let places = u64::from(own) * u64::from(BLOCK_PORTS);
        let place = u64::from(self.flow.start) + u64::from(number) * u64::from(self.flow.stride);
        let place = place.checked_rem(places).unwrap_or(0);
        let block = first_block.wrapping_add((place / u64::from(BLOCK_PORTS)) as u32);
        // Neighbouring blocks are of different source addresses.
        let count = self.flow.sources.count;
        let source = block.checked_rem(count).unwrap_or(0);
        let within = block.checked_div(count).unwrap_or(0) % BLOCKS;
        let port = FIRST_PORT + within * BLOCK_PORTS + (place % u64::from(BLOCK_PORTS)) as u32;
        self.flow.content.source = self.flow.sources.first + source;
        let target_port = first(self.flow.content.provider_ports);
        self.flow.content.provider_ports = pair(target_port, (port as u16).to_be());
    }

    /// The source address and port that the search has come to.
    #[inline(always)]
    fn place<T: Operations>(&self, tables: &T) -> Place {
        let Content { source, provider_ports, .. } = self.flow.content;
        let port = u32::from(u16::from_be(second(provider_ports)));
        let within = port.wrapping_sub(FIRST_PORT) / BLOCK_PORTS;
        let Pool { first, count } = self.flow.sources;
        let number = within.wrapping_mul(count).wrapping_add(source.wrapping_sub(first));
        let (first_block, own) = self.home(tables);
        Place { source, port, number, at_home: number.wrapping_sub(first_block) < own }
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
