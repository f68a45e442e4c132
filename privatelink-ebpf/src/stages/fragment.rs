//! The stage for fragments: finds the flow of those that have no ports.
//!
//! A first fragment gets here when its flow is known, and leaves an entry by which the others are
//! looked up. No fragment is kept: one that arrives before the first is refused. All fragments
//! are forwarded with one new identification, because two senders behind one source address may
//! have chosen the same, and the receiver would mix up their datagrams.

use crate::{
    environment::Frame,
    flows::{operations::Operations, table::Leg},
    stages::{
        chain::Chained,
        egress::{Egress, max_fragment_input_len},
        neighbour,
        packet::Packet,
        stop::refused,
        verdict::Verdict,
    },
    wire::{Control, Front, Ip as _, Ipv4, Ipv6, Transport as _, Udp},
};
use privatelink_common::{
    Reason, Scratch, Stage,
    flow::word,
    fragment::{BUCKETS, ENTRIES, Fragmented, PARTS, WAYS},
};

/// Attempts to count a datagram among those of its addresses.
const COUNT_ATTEMPTS: u32 = 4;
/// The most that a datagram holds.
const LONGEST: u32 = 65_535;
/// No entry.
const NOWHERE: u32 = u32::MAX;

/// Takes a fragment on to where it is carried.
#[inline(never)]
pub fn fragment<F: Frame, T: Operations, I: Control + Chained>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Verdict {
    let network = scratch.network.load();
    let mut read = Packet::<I>::read_slowly(frame, tables, network);
    let packet = match &mut read {
        Ok(packet) => packet,
        Err(reason) => return Verdict::drop(*reason),
    };
    let Some(identification) = I::identification(frame, packet.fragment) else {
        return Verdict::drop(Reason::Internal);
    };
    // A receiver reassembles fragments that agree in addresses, identification and, over IPv4,
    // protocol. The same tuple with the identification in place of ports names the entry.
    let (ports, protocol) = (packet.arrival.ports, packet.arrival.protocol);
    packet.arrival.ports = identification;
    packet.arrival.protocol = if I::IDENTIFIED_BY_PROTOCOL { protocol } else { 0 };
    let entry = DatagramKey::of(network, packet.arrival.hash_slowly(tables));
    packet.arrival.ports = ports;
    packet.arrival.protocol = protocol;
    if packet.fragment.is_first() {
        return first(frame, tables, scratch, packet, &entry);
    }
    let refusal = later(tables, packet, &entry, scratch);
    if refusal != NOTHING {
        let reason = match refusal {
            UNKNOWN => Reason::FragmentUnknown,
            _ => Reason::FragmentOverlap,
        };
        return neighbour::other::<F, T, I>(frame, tables, network, reason);
    }
    Verdict::Next(Stage::Carry)
}

/// Where a datagram's entry is.
struct DatagramKey {
    /// First of the entries that it may be among.
    first: u32,
    tag: u32,
}

impl DatagramKey {
    #[inline(always)]
    fn of(network: u32, hash: u64) -> Self {
        let bucket = network % PARTS * BUCKETS + ((hash >> 32) as u32) % BUCKETS;
        let tag = hash as u32;
        let tag = if tag < Fragmented::LEAST_TAG { tag + Fragmented::LEAST_TAG } else { tag };
        Self { first: bucket * WAYS, tag }
    }
}

/// Whether an entry's datagram may still be put together by its receiver.
#[inline(always)]
fn is_live<T: Operations, I: Control>(tables: &T, entry: &Fragmented) -> bool {
    tables.now().wrapping_sub(entry.since.load()) < I::REASSEMBLY_TICKS
}

/// Enters the datagram of a first fragment, whose flow is known.
#[inline(never)]
fn first<F: Frame, T: Operations, I: Control>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
    packet: &Packet<I>,
    entry: &DatagramKey,
) -> Verdict {
    let Some(leg) = Leg::at(tables, scratch.slot.load()) else {
        return Verdict::drop(Reason::Internal);
    };
    let egress = Egress::<I>::of(&leg);
    let Some(front) = frame.view::<Front<I>>(0) else { return Verdict::NOT_OURS };
    if front.ethernet.to() != egress.own {
        return Verdict::NOT_OURS;
    }
    let endpoint = leg.slot.endpoint();
    let leaves = leg.word & word::LEAVES_V6;
    let most = max_fragment_input_len::<I>(leaves, egress.mtu);
    // A fragment that the stage Carry refuses must leave no entry.
    if refused(&leg).is_some() || packet.length > most || front.ip.ttl() <= 1 {
        return Verdict::Next(Stage::Carry);
    }
    if leaves != I::LEAVES
        && let Some(reason) = stays(frame, packet)
    {
        return Verdict::drop_at(reason, endpoint);
    }
    let room = room::<T, I>(tables, entry);
    let Some(cell) = tables.fragmented(room) else {
        return Verdict::drop_at(Reason::FragmentOverlap, endpoint);
    };
    let tag = cell.tag.load();
    if tag == Fragmented::BUSY || !tables.exchange(&cell.tag, tag, Fragmented::BUSY) {
        return Verdict::drop_at(Reason::Contended, endpoint);
    }
    let first = if leaves == Ipv6::LEAVES {
        Egress::<Ipv6>::of(&leg).first_identification(tables)
    } else {
        Egress::<Ipv4>::of(&leg).first_identification(tables)
    };
    let identification = renumbered(tables, first);
    cell.since.store(tables.now());
    cell.ports.store(packet.arrival.ports);
    cell.transport.store(packet.arrival.protocol << 16 | packet.transport_end());
    cell.length.store(0);
    cell.arrived.store(packet.part_length());
    cell.identification.store(identification);
    tables.exchange(&cell.tag, Fragmented::BUSY, entry.tag);
    scratch.identification.store(identification);
    Verdict::Next(Stage::Carry)
}

/// What keeps a first fragment from going on as the other family, if anything does.
#[inline(always)]
fn stays<F: Frame, I: Control>(frame: &mut F, packet: &Packet<I>) -> Option<Reason> {
    // Headers behind the fragment's end here, and the later fragments would have other places.
    if packet.transport() as u32 != packet.part_at() {
        return Some(Reason::Options);
    }
    // Over IPv6 every datagram has a checksum, which cannot be computed from a part of it.
    if packet.arrival.protocol == Udp::PROTOCOL
        && !frame.view::<Udp>(packet.transport())?.has_checksum()
    {
        return Some(Reason::NoChecksum);
    }
    None
}

/// Index of the entry that a new datagram gets: a free one, or the oldest of those it may have.
/// None if the datagram has begun before.
#[inline(always)]
fn room<T: Operations, I: Control>(tables: &T, entry: &DatagramKey) -> u32 {
    let now = tables.now();
    let (mut room, mut oldest) = (entry.first, 0);
    for way in 0..WAYS {
        let index = entry.first + way;
        let Some(cell) = tables.fragmented(index) else { return NOWHERE };
        let tag = cell.tag.load();
        if tag == entry.tag && is_live::<T, I>(tables, cell) {
            return NOWHERE;
        }
        let age = match tag {
            Fragmented::FREE => u32::MAX,
            Fragmented::BUSY => 0,
            _ => now.wrapping_sub(cell.since.load()),
        };
        if age > oldest {
            (room, oldest) = (index, age);
        }
    }
    room
}

/// An identification that no other datagram between two addresses has at this time: they are
/// counted, from a secret start. Its lower half says by which counter.
#[inline(always)]
fn renumbered<T: Operations>(tables: &T, first: u64) -> u32 {
    let Some(cell) = tables.fragmented(first as u32 % ENTRIES) else { return 0 };
    let mut begun = cell.begun.load();
    for _ in 0..COUNT_ATTEMPTS {
        if tables.exchange(&cell.begun, begun, begun.wrapping_add(1)) {
            break;
        }
        begun = cell.begun.load();
    }
    begun.wrapping_add((first >> 32) as u32)
}

/// The fragment may go on.
const NOTHING: u32 = 0;
/// Its first fragment has not been forwarded.
const UNKNOWN: u32 = 1;
/// It overlaps another fragment.
const OVERLAP: u32 = 2;

/// Finds the flow of a fragment that is not the first; returns [`NOTHING`], or why it has none.
#[inline(never)]
fn later<T: Operations, I: Control>(
    tables: &T,
    packet: &mut Packet<I>,
    entry: &DatagramKey,
    scratch: &Scratch,
) -> u32 {
    let mut place = NOWHERE;
    for way in 0..WAYS {
        let index = entry.first + way;
        if tables.fragmented(index).is_some_and(|cell| cell.tag.load() == entry.tag) {
            place = index;
        }
    }
    let Some(cell) = tables.fragmented(place) else { return UNKNOWN };
    if !is_live::<T, I>(tables, cell) {
        return UNKNOWN;
    }
    let transport = cell.transport.load();
    packet.arrival.ports = cell.ports.load();
    packet.arrival.protocol = transport >> 16;
    scratch.identification.store(cell.identification.load());
    let (offset, part) = (packet.fragment.offset(), packet.part_length());
    if offset < transport & 0xffff {
        return OVERLAP;
    }
    let Some(slot) = tables.search(&packet.arrival) else { return UNKNOWN };
    // Not exact where several CPUs carry fragments of one datagram: it may then keep its entry.
    let arrived = cell.arrived.load().wrapping_add(part);
    if arrived > LONGEST {
        return OVERLAP;
    }
    // Another datagram may have taken the entry meanwhile.
    if cell.tag.load() != entry.tag {
        return UNKNOWN;
    }
    scratch.slot.store(slot);
    cell.arrived.store(arrived);
    if !packet.fragment.has_more() {
        cell.length.store(offset + part);
    }
    let length = cell.length.load();
    if length != 0 && arrived >= length {
        tables.exchange(&cell.tag, entry.tag, Fragmented::FREE);
    }
    NOTHING
}
