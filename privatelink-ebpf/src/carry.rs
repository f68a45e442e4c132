//! Carries a packet of a flow to the other side.

use crate::{
    flow_table::Found,
    packet::Packet,
    tables::{Direction, Tables},
    verdict::Verdict,
    wire::{Head, Ip, MacWords, Transport, tcp_flags},
};
use privatelink_common::{
    Admission, TargetState,
    flow::{Phase, split_mac, word},
};

/// Flags that move a flow to another phase.
const TURNING: u32 = tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST;

/// The other side of the gateway, for one direction of a flow.
pub struct Way<I: Ip> {
    source: I::Address,
    destination: I::Address,
    /// As packets from the other side carry them: the wrong way round for packets to it.
    ports: u32,
    /// The gateway's address on the side that packets come from.
    pub own: MacWords,
    mac: MacWords,
    hop: MacWords,
    ifindex: u32,
    /// Largest IP packet that goes out.
    pub mtu: u32,
    direction: Direction,
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
    found.slot.seen(tables.now());
    found.slot.count(length);
    tables.count_packet(found.slot.endpoint(), way.direction, length);
    Verdict::Send { ifindex: way.ifindex }
}
