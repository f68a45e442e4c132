//! Carries a packet of a flow to the other side.

use crate::{
    flow_table::Found,
    frame::Frame,
    packet::Packet,
    phase, policy,
    tables::{Direction, Tables},
    verdict::Verdict,
    wire::{
        EtherType, Ethernet, Front, Head, Ip, Ipv4, Ipv6, MacWords, Tcp, Transport, Udp, tcp_flags,
    },
};
use privatelink_common::{
    Admission, Reason, Stage, TargetState,
    flow::{Phase, split_mac, word},
};

/// Flags that move a flow to another phase.
const TURNING: u32 = tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST;

/// The other side of the gateway, for one direction of a flow.
pub struct Way<I: Ip> {
    /// Sender of packets to the other side.
    pub source: I::Address,
    /// Their receiver.
    pub destination: I::Address,
    /// As packets from the other side carry them: the wrong way round for packets to it.
    pub ports: u32,
    /// The gateway's address on the side that packets come from.
    pub own: MacWords,
    /// The gateway's address on the side that packets go to.
    pub mac: MacWords,
    /// Who takes them there.
    pub hop: MacWords,
    /// The interface that they leave by.
    pub ifindex: u32,
    /// Largest IP packet that goes out.
    pub mtu: u32,
    /// Which way that is.
    pub direction: Direction,
}

impl<I: Ip> Way<I> {
    /// The way that a slot and its records describe.
    #[inline(always)]
    pub fn of(found: &Found<'_>) -> Self {
        if found.is_reverse() {
            Self {
                source: I::of_endpoint(found.endpoint),
                destination: I::of_client(found.slot),
                ports: found.slot.consumer_ports(),
                own: split_mac(found.target.mac),
                mac: split_mac(found.endpoint.mac),
                // Replies go where the client's packets come from.
                hop: found.slot.client_mac(),
                ifindex: found.endpoint.ifindex,
                mtu: u32::from(found.endpoint.mtu),
                direction: Direction::Out,
            }
        } else {
            Self {
                source: I::from_addr(&found.source.address),
                destination: I::from_addr(&found.target.address),
                ports: found.slot.provider_ports(),
                own: split_mac(found.endpoint.mac),
                mac: split_mac(found.target.mac),
                hop: split_mac(found.target.hop),
                ifindex: found.target.ifindex,
                mtu: u32::from(found.target.mtu),
                direction: Direction::In,
            }
        }
    }
}

impl<I: Ip> Way<I> {
    /// The keyed hash of the two addresses.
    #[inline(always)]
    pub fn hash<T: Tables>(&self, tables: &T) -> u64 {
        I::hash(self.source, self.destination, |index| tables.hash_key(index))
    }
}

/// Whether a packet needs nothing but [`send`].
#[inline(always)]
pub fn is_smooth<I: Ip, L: Transport>(
    head: &Head<I, L>,
    packet: &Packet<I>,
    found: &Found<'_>,
    way: &Way<I>,
) -> bool {
    head.ip.ttl() > 1
        // A switch that floods may show us frames for somebody else.
        && head.ethernet.to() == way.own
        && (found.is_reverse() || head.ethernet.from() == found.slot.client_mac())
        && found.endpoint.admission == Admission::Available as u32
        && found.target.state == TargetState::Present as u32
        // The last bytes of an unresolved hop are zero; a real one like that takes the slow stage.
        && way.hop.1 != 0
        && !turns(packet.flags, found.word)
        && packet.length <= way.mtu
        && !policy::is_metered(found.endpoint)
}

/// Whether a packet may move its flow to another phase.
#[inline(always)]
pub fn turns(flags: u32, word: u32) -> bool {
    flags & TURNING != 0 || word & word::PHASE != Phase::Established.bits()
}

/// Rewrites a packet, counts it, and sends it out on the other side.
#[inline(always)]
pub fn send<T: Tables, I: Ip, L: Transport>(
    head: &mut Head<I, L>,
    tables: &T,
    length: u32,
    found: &Found<'_>,
    way: &Way<I>,
) -> Verdict {
    head.ethernet.readdress(way.mac, way.hop);
    head.ip.readdress(way.source, way.destination, found.slot.l3_delta());
    head.transport.rewrite(way.ports.rotate_left(16), found.slot.l4_delta());
    sent(tables, length, found, way)
}

/// Counts a packet that has been rewritten.
#[inline(always)]
fn sent<T: Tables, I: Ip>(tables: &T, length: u32, found: &Found<'_>, way: &Way<I>) -> Verdict {
    found.slot.seen(tables.now());
    found.slot.count(length);
    tables.count_packet(found.slot.endpoint(), way.direction, length);
    Verdict::Send { ifindex: way.ifindex }
}

/// The stage that carries an unusual packet: clears whatever stands in its way, or refuses it.
#[inline(always)]
pub fn carry<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Verdict {
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::Pass };
    match ethernet.ethertype() {
        EtherType::IPV4 => carry_ip::<F, T, Ipv4>(frame, tables),
        _ => carry_ip::<F, T, Ipv6>(frame, tables),
    }
}

#[inline(never)]
fn carry_ip<F: Frame, T: Tables, I: Ip>(frame: &mut F, tables: &T) -> Verdict {
    let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
    let index = scratch.slot.load();
    let packet = &match Packet::<I>::read_slowly(frame, tables, scratch.network.load()) {
        Ok(packet) => packet,
        Err(reason) => return Verdict::drop(reason),
    };
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
    let Some(head) = frame.view::<Front<I>>(0) else { return Verdict::Pass };
    if head.ethernet.to() != Way::<I>::of(&found).own {
        return Verdict::Pass;
    }
    let endpoint = found.slot.endpoint();
    if let Some(reason) = refused(&found) {
        return Verdict::drop_at(reason, endpoint);
    }
    let way = Way::<I>::of(&found);
    if packet.length > way.mtu {
        let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
        scratch.mtu.store(way.mtu);
        return Verdict::drop_at(Reason::TooBig, endpoint);
    }
    if head.ip.ttl() <= 1 {
        return Verdict::drop_at(Reason::TtlExpired, endpoint);
    }
    if policy::is_metered(found.endpoint)
        && let Some(reason) = policy::refused_packet(tables, endpoint, packet.length)
    {
        return Verdict::drop_at(reason, endpoint);
    }
    // Only what goes on moves the flow.
    if turns(packet.flags, found.word) {
        if let Some(reason) = tables.scratch().and_then(|scratch| Reason::of(scratch.fault.load()))
        {
            return Verdict::drop_at(reason, endpoint);
        }
        phase::follow::<T, I>(tables, index, packet.flags);
    }
    let sender = head.ethernet.from();
    if !found.is_reverse() && sender != found.slot.client_mac() {
        phase::follow_client::<T, I>(tables, index, sender.0, sender.1);
    }
    let Some(head) = frame.view::<Front<I>>(0) else { return Verdict::drop(Reason::Internal) };
    head.ethernet.readdress(way.mac, way.hop);
    head.ip.readdress(way.source, way.destination, found.slot.l3_delta());
    if packet.fragment.is_part() {
        let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
        I::identify(frame, packet.fragment, scratch.identification.load());
    }
    if !packet.fragment.is_later() {
        let Some(transport) = frame.view::<L>(packet.transport()) else {
            return Verdict::drop(Reason::Internal);
        };
        transport.rewrite(way.ports.rotate_left(16), found.slot.l4_delta());
    }
    let verdict = sent(tables, packet.length, &found, &way);
    if L::PROTOCOL == Tcp::PROTOCOL && packet.flags & tcp_flags::SYN != 0 {
        let Some(scratch) = tables.scratch() else { return verdict };
        scratch.transport.store(packet.transport() as u32);
        scratch.ifindex.store(way.ifindex);
        return Verdict::Next(Stage::Clamp);
    }
    verdict
}

/// Why a flow that exists may not go on, if it may not.
#[inline(always)]
pub fn refused(found: &Found<'_>) -> Option<Reason> {
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
