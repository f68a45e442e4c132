//! Carries a packet of a flow to the other side.

use crate::{
    environment::{Frame, Tables},
    flows::{operations::Operations, phase, policy, table::Leg},
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
const PHASE_FLAGS: u32 = tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST;

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Client to target.
    In,
    /// Target to client.
    Out,
}

/// The other side of the gateway, for one direction of a flow.
pub struct Egress<I: Ip> {
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

impl<I: Ip> Egress<I> {
    /// The way that a slot and its records describe.
    #[inline(always)]
    pub fn of(leg: &Leg<'_>) -> Self {
        if leg.is_reverse() {
            Self {
                source: I::of_endpoint(leg.endpoint),
                destination: I::of_client(leg.slot),
                ports: leg.slot.consumer_ports(),
                own: split_mac(leg.target.mac),
                mac: split_mac(leg.endpoint.mac),
                // Replies go where the client's packets come from.
                hop: leg.slot.client_mac(),
                ifindex: leg.endpoint.ifindex,
                mtu: leg.endpoint.largest(),
                untagged_mtu: leg.endpoint.mtu.into(),
                vlan: leg.endpoint.vlan,
                direction: Direction::Out,
            }
        } else {
            Self {
                source: I::from_addr(&leg.source.address),
                destination: I::from_addr(&leg.target.address),
                ports: leg.slot.provider_ports(),
                own: split_mac(leg.endpoint.mac),
                mac: split_mac(leg.target.mac),
                hop: split_mac(leg.target.hop),
                ifindex: leg.target.ifindex,
                mtu: leg.target.largest(),
                untagged_mtu: leg.target.mtu.into(),
                vlan: leg.target.vlan,
                direction: Direction::In,
            }
        }
    }
}

impl<I: Ip> Egress<I> {
    /// The keyed hash of the two addresses.
    #[inline(always)]
    pub fn hash<T: Tables>(&self, tables: &T) -> u64 {
        I::hash(self.source, self.destination, |index| tables.hash_key(index))
    }
}

/// Whether a packet needs nothing but [`send`].
#[inline(always)]
pub fn takes_fast_path<I: Ip, L: Transport>(
    head: &Head<I, L>,
    packet: &Packet<I>,
    leg: &Leg<'_>,
    egress: &Egress<I>,
) -> bool {
    head.ip.ttl() > 1
        // A switch that floods may show us frames for somebody else.
        && head.ethernet.to() == egress.own
        && (leg.is_reverse() || head.ethernet.from() == leg.slot.client_mac())
        && leg.endpoint.admission == Admission::Available as u32
        && leg.target.state == TargetState::Present as u32
        // The last bytes of an unresolved hop are zero; a real one like that takes the slow stage.
        && egress.hop.1 != 0
        && packet.flags & PHASE_FLAGS == 0
        // Established, and of the same family on both sides.
        && leg.word & (word::PHASE | word::LEAVES_V6) == Phase::Established.bits() | I::LEAVES
        && packet.length <= egress.untagged_mtu
}

/// Whether a packet may move its flow to another phase.
#[inline(always)]
pub fn changes_phase(flags: u32, word: u32) -> bool {
    flags & PHASE_FLAGS != 0 || word & word::PHASE != Phase::Established.bits()
}

/// Rewrites a packet, counts it, and sends it out on the other side.
#[inline(always)]
pub fn send<T: Tables, I: Ip, L: Transport>(
    head: &mut Head<I, L>,
    tables: &T,
    length: u32,
    leg: &Leg<'_>,
    egress: &Egress<I>,
) -> Verdict {
    head.ethernet.readdress(egress.mac, egress.hop);
    head.ip.readdress(egress.source, egress.destination, leg.slot.l3_delta());
    head.transport.rewrite(egress.ports.rotate_left(16), leg.slot.l4_delta());
    count_sent(tables, length, leg, egress)
}

/// Counts a packet that has been rewritten.
#[inline(always)]
pub fn count_sent<T: Tables, I: Ip>(
    tables: &T,
    length: u32,
    leg: &Leg<'_>,
    egress: &Egress<I>,
) -> Verdict {
    leg.slot.seen(tables.now());
    leg.slot.count(length);
    let from_consumer = egress.direction == Direction::In;
    tables.count_endpoint(leg.slot.endpoint(), |count| count.add(from_consumer, length));
    Verdict::Send { ifindex: egress.ifindex }
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
    let Some(leg) = Leg::at(tables, index) else { return Verdict::drop(Reason::Internal) };
    if leg.word & word::LEAVES_V6 != I::LEAVES {
        let is_part = packet.fragment.is_part();
        return Verdict::Next(if is_part { Stage::TranslatePart } else { Stage::Translate });
    }
    let stopped = stop(frame, tables, packet, &leg, &Ingress::of(&leg));
    if !stopped.is_nothing() {
        return stopped.verdict(leg.slot.endpoint());
    }
    let egress = Egress::<I>::of(&leg);
    let Some(head) = frame.view::<Front<I>>(0) else { return Verdict::drop(Reason::Internal) };
    head.ethernet.readdress(egress.mac, egress.hop);
    head.ip.readdress(egress.source, egress.destination, leg.slot.l3_delta());
    if packet.fragment.is_part() {
        let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
        I::renumber(frame, packet.fragment, scratch.identification.load());
    }
    if !packet.fragment.is_later() {
        let Some(transport) = frame.view::<L>(packet.transport()) else {
            return Verdict::drop(Reason::Internal);
        };
        transport.rewrite(egress.ports.rotate_left(16), leg.slot.l4_delta());
    }
    let verdict = count_sent(tables, packet.length, &leg, &egress);
    let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
    vlan::leave_by(scratch, egress.vlan);
    if L::PROTOCOL == Tcp::PROTOCOL && packet.flags & tcp_flags::SYN != 0 {
        scratch.transport.store(packet.transport() as u32);
        scratch.ifindex.store(egress.ifindex);
        return Verdict::Next(Stage::Clamp);
    }
    verdict
}

/// What a packet is held against before it goes on.
pub struct Ingress {
    /// The gateway's address on the side that it comes from.
    pub own: MacWords,
    /// Largest IP packet as it comes in, so that it fits the way out.
    pub mtu: u32,
}

impl Ingress {
    /// Those of a flow within one family.
    #[inline(always)]
    pub fn of(leg: &Leg<'_>) -> Self {
        let Leg { endpoint, target, .. } = leg;
        let (own, mtu) = if leg.is_reverse() {
            (target.mac, endpoint.largest())
        } else {
            (endpoint.mac, target.largest())
        };
        Self { own: split_mac(own), mtu }
    }
}

/// The largest IP packet of a family that leaves as one of at most `mtu` bytes.
#[inline(always)]
pub fn max_input_len<I: Ip>(leaves: u32, mtu: u32) -> u32 {
    let out = if leaves == Ipv6::LEAVES { Ipv6::LEN } else { Ipv4::LEN };
    mtu.wrapping_add(I::LEN as u32).wrapping_sub(out as u32)
}

/// The same of a fragment without other extension headers.
#[inline(always)]
pub fn max_fragment_input_len<I: Ip>(leaves: u32, mtu: u32) -> u32 {
    let out = if leaves == Ipv6::LEAVES { Ipv6::FRAGMENT_LEN } else { Ipv4::FRAGMENT_LEN };
    max_input_len::<I>(leaves, mtu).wrapping_add(I::FRAGMENT_LEN as u32).wrapping_sub(out as u32)
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
    leg: &Leg<'_>,
    ingress: &Ingress,
) -> Stop {
    let Some(head) = frame.view::<Front<I>>(0) else { return Stop::NOT_OURS };
    if head.ethernet.to() != ingress.own {
        return Stop::NOT_OURS;
    }
    let endpoint = leg.slot.endpoint();
    if let Some(reason) = refused(leg) {
        return Stop::refused(reason);
    }
    if packet.length > ingress.mtu {
        if let Some(scratch) = tables.scratch() {
            scratch.mtu.store(ingress.mtu);
        }
        return Stop::refused(Reason::TooBig);
    }
    if head.ip.ttl() <= 1 {
        return Stop::refused(Reason::TtlExpired);
    }
    if policy::is_metered(leg.endpoint)
        && let Some(reason) = policy::refused_packet(tables, endpoint, packet.length)
    {
        return Stop::refused(reason);
    }
    // Only what goes on moves the flow.
    if changes_phase(packet.flags, leg.word) {
        if let Some(reason) = tables.scratch().and_then(|scratch| Reason::of(scratch.fault.load()))
        {
            return Stop::refused(reason);
        }
        tables.follow(leg.index, packet.flags);
    }
    let sender = head.ethernet.from();
    if !leg.is_reverse() && sender != leg.slot.client_mac() {
        phase::follow_client(tables, leg.index, sender.0, sender.1);
    }
    Stop::NOTHING
}

/// Why a flow that exists may not go on, if it may not.
#[inline(always)]
pub fn refused(leg: &Leg<'_>) -> Option<Reason> {
    if let Some(reason) = refused_admission(leg.endpoint.admission) {
        return Some(reason);
    }
    if leg.target.state != TargetState::Present as u32 {
        return Some(Reason::NoTarget);
    }
    if !leg.is_reverse() && leg.target.hop == [0; 6] {
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
