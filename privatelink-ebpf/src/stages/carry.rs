//! Carries a packet of a flow to the other side.

use crate::{
    environment::{Frame, Tables},
    flows::{operations::Operations, phase, policy, table::Found},
    stages::{chain::Chained, packet::Packet, verdict::Verdict, vlan},
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

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Client to target.
    In,
    /// Target to client.
    Out,
}

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
    /// Largest IP packet that goes out without a tag; zero if all need one.
    untagged_mtu: u32,
    /// VLAN that it goes out on; zero is untagged.
    pub vlan: u16,
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
                mtu: found.endpoint.largest(),
                untagged_mtu: found.endpoint.mtu.into(),
                vlan: found.endpoint.vlan,
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
                mtu: found.target.largest(),
                untagged_mtu: found.target.mtu.into(),
                vlan: found.target.vlan,
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
        && packet.flags & TURNING == 0
        // Established, and of the same family on both sides.
        && found.word & (word::PHASE | word::LEAVES_V6) == Phase::Established.bits() | I::LEAVES
        && packet.length <= way.untagged_mtu
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
pub fn sent<T: Tables, I: Ip>(tables: &T, length: u32, found: &Found<'_>, way: &Way<I>) -> Verdict {
    found.slot.seen(tables.now());
    found.slot.count(length);
    let from_consumer = way.direction == Direction::In;
    tables.count_endpoint(found.slot.endpoint(), |count| count.add(from_consumer, length));
    Verdict::Send { ifindex: way.ifindex }
}

/// The stage that carries an unusual packet: clears whatever stands in its way, or refuses it.
#[inline(always)]
pub fn carry<F: Frame, T: Operations>(frame: &mut F, tables: &T) -> Verdict {
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::Pass };
    match ethernet.ethertype() {
        EtherType::IPV4 => carry_ip::<F, T, Ipv4>(frame, tables),
        _ => carry_ip::<F, T, Ipv6>(frame, tables),
    }
}

#[inline(never)]
fn carry_ip<F: Frame, T: Operations, I: Chained>(frame: &mut F, tables: &T) -> Verdict {
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
fn carry_transport<F: Frame, T: Operations, I: Chained, L: Transport>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
    index: u32,
) -> Verdict {
    let Some(found) = Found::at(tables, index) else { return Verdict::drop(Reason::Internal) };
    if found.word & word::LEAVES_V6 != I::LEAVES {
        let is_part = packet.fragment.is_part();
        return Verdict::Next(if is_part { Stage::TranslatePart } else { Stage::Translate });
    }
    let stopped = stop(frame, tables, packet, &found, &Sides::of(&found));
    if !stopped.is_nothing() {
        return stopped.verdict(found.slot.endpoint());
    }
    let way = Way::<I>::of(&found);
    let Some(head) = frame.view::<Front<I>>(0) else { return Verdict::drop(Reason::Internal) };
    head.ethernet.readdress(way.mac, way.hop);
    head.ip.readdress(way.source, way.destination, found.slot.l3_delta());
    if packet.fragment.is_part() {
        let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
        I::renumber(frame, packet.fragment, scratch.identification.load());
    }
    if !packet.fragment.is_later() {
        let Some(transport) = frame.view::<L>(packet.transport()) else {
            return Verdict::drop(Reason::Internal);
        };
        transport.rewrite(way.ports.rotate_left(16), found.slot.l4_delta());
    }
    let verdict = sent(tables, packet.length, &found, &way);
    let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
    vlan::leave_by(scratch, way.vlan);
    if L::PROTOCOL == Tcp::PROTOCOL && packet.flags & tcp_flags::SYN != 0 {
        scratch.transport.store(packet.transport() as u32);
        scratch.ifindex.store(way.ifindex);
        return Verdict::Next(Stage::Clamp);
    }
    verdict
}

/// What a packet is held against before it goes on.
pub struct Sides {
    /// The gateway's address on the side that it comes from.
    pub own: MacWords,
    /// Largest IP packet as it comes in, so that it fits the way out.
    pub mtu: u32,
}

impl Sides {
    /// Those of a flow within one family.
    #[inline(always)]
    pub fn of(found: &Found<'_>) -> Self {
        let Found { endpoint, target, .. } = found;
        let (own, mtu) = if found.is_reverse() {
            (target.mac, endpoint.largest())
        } else {
            (endpoint.mac, target.largest())
        };
        Self { own: split_mac(own), mtu }
    }
}

/// The largest IP packet of a family that leaves as one of at most `mtu` bytes.
#[inline(always)]
pub fn most_bytes<I: Ip>(leaves: u32, mtu: u32) -> u32 {
    let out = if leaves == Ipv6::LEAVES { Ipv6::LEN } else { Ipv4::LEN };
    mtu.wrapping_add(I::LEN as u32).wrapping_sub(out as u32)
}

/// The same of a fragment without other extension headers.
#[inline(always)]
pub fn most_bytes_of_part<I: Ip>(leaves: u32, mtu: u32) -> u32 {
    let out = if leaves == Ipv6::LEAVES { Ipv6::FRAGMENT_LEN } else { Ipv4::FRAGMENT_LEN };
    most_bytes::<I>(leaves, mtu).wrapping_add(I::FRAGMENT_LEN as u32).wrapping_sub(out as u32)
}

/// What keeps a packet of a flow from going on, as one number: the verifier would have to know the
/// content of an `Option` that is empty.
#[derive(Clone, Copy)]
pub struct Stop(u32);

impl Stop {
    /// Nothing.
    const NOTHING: Self = Self(0);
    /// It is not for us.
    const NOT_OURS: Self = Self(1);

    /// It is refused.
    #[inline(always)]
    fn refused(reason: Reason) -> Self {
        Self(2 + reason as u32)
    }

    /// What becomes of the packet, unless it goes on.
    #[inline(always)]
    pub fn verdict(self, endpoint: u32) -> Verdict {
        match self.0 {
            1 => Verdict::Pass,
            code => {
                let reason = Reason::of(code.wrapping_sub(2)).unwrap_or(Reason::Internal);
                Verdict::drop_at(reason, endpoint)
            }
        }
    }

    /// Whether the packet goes on.
    #[inline(always)]
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

/// Holds a packet of a flow against all that may keep it from going on; if nothing does, the flow
/// has been moved on.
#[inline(always)]
pub fn stop<F: Frame, T: Operations, I: Ip>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
    found: &Found<'_>,
    sides: &Sides,
) -> Stop {
    let Some(head) = frame.view::<Front<I>>(0) else { return Stop::NOT_OURS };
    if head.ethernet.to() != sides.own {
        return Stop::NOT_OURS;
    }
    let endpoint = found.slot.endpoint();
    if let Some(reason) = refused(found) {
        return Stop::refused(reason);
    }
    if packet.length > sides.mtu {
        if let Some(scratch) = tables.scratch() {
            scratch.mtu.store(sides.mtu);
        }
        return Stop::refused(Reason::TooBig);
    }
    if head.ip.ttl() <= 1 {
        return Stop::refused(Reason::TtlExpired);
    }
    if policy::is_metered(found.endpoint)
        && let Some(reason) = policy::refused_packet(tables, endpoint, packet.length)
    {
        return Stop::refused(reason);
    }
    // Only what goes on moves the flow.
    if turns(packet.flags, found.word) {
        if let Some(reason) = tables.scratch().and_then(|scratch| Reason::of(scratch.fault.load()))
        {
            return Stop::refused(reason);
        }
        tables.follow(found.index, packet.flags);
    }
    let sender = head.ethernet.from();
    if !found.is_reverse() && sender != found.slot.client_mac() {
        phase::follow_client(tables, found.index, sender.0, sender.1);
    }
    Stop::NOTHING
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
    const PENDING: u32 = Admission::Pending as u32;
    const EXPIRED: u32 = Admission::Expired as u32;
    if Admission::carries(admission) {
        return None;
    }
    match admission {
        PENDING => Some(Reason::Pending),
        EXPIRED => Some(Reason::Expired),
        _ => Some(Reason::Rejected),
    }
}
