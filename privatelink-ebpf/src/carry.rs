//! Carries a packet of a flow to the other side.

use crate::{
    checksum,
    flow_table::Found,
    frame::Frame,
    packet::Packet,
    tables::{Direction, Tables},
    transport_offset,
    verdict::Verdict,
    wire::{ETHERNET_LEN, Ethernet, Ip, Tcp, Udp, tcp_flags},
};
use privatelink_common::{
    Admission, Reason, TCP, TargetState,
    flow::{Phase, split_mac, word},
};

/// Flags that move a flow to another phase.
const TURNING: u32 = (tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST) as u32;

/// The other side of the gateway, for one direction of a flow.
pub struct Way<I: Ip> {
    source: I::Address,
    destination: I::Address,
    /// As packets from the other side carry them: the wrong way round for packets to it.
    ports: u32,
    mac: (u16, u32),
    hop: (u16, u32),
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
pub fn is_smooth<F: Frame, I: Ip>(
    frame: &mut F,
    packet: &Packet<I>,
    found: &Found<'_>,
    way: &Way<I>,
) -> bool {
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return false };
    let (receiver, sender) = (ethernet.destination.words(), ethernet.source.words());
    let Some(header) = frame.view::<I>(ETHERNET_LEN) else { return false };
    header.ttl() > 1
        && receiver == own_mac(found)
        && (found.is_reverse() || sender == found.slot.client_mac())
        && found.endpoint.admission == Admission::Available as u32
        && found.target.state == TargetState::Present as u32
        && way.hop != (0, 0)
        && !turns(packet.flags, found.word)
        && packet.length <= way.mtu
}

/// The Ethernet address that packets of this direction must be for: a switch that floods may
/// show us frames for somebody else.
#[inline(always)]
pub fn own_mac(found: &Found<'_>) -> (u16, u32) {
    split_mac(if found.is_reverse() { found.target.mac } else { found.endpoint.mac })
}

/// Whether a packet may move its flow to another phase.
#[inline(always)]
pub fn turns(flags: u32, word: u32) -> bool {
    flags & TURNING != 0 || word & word::PHASE != Phase::Established.bits()
}

/// Rewrites a packet, counts it, and sends it out on the other side.
#[inline(always)]
pub fn send<F: Frame, T: Tables, I: Ip>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
    found: &Found<'_>,
    way: &Way<I>,
) -> Verdict {
    let endpoint = found.slot.endpoint();
    if rewrite(frame, packet, found, way).is_none() {
        return Verdict::drop_at(Reason::Internal, endpoint);
    }
    found.slot.seen(tables.now());
    found.slot.count(packet.length);
    tables.count_packet(endpoint, way.direction, packet.length);
    Verdict::Send { ifindex: way.ifindex }
}

/// Rewrites all headers; `None` cannot happen to a packet that was read.
#[inline(always)]
fn rewrite<F: Frame, I: Ip>(
    frame: &mut F,
    packet: &Packet<I>,
    found: &Found<'_>,
    way: &Way<I>,
) -> Option<()> {
    let ports = way.ports.rotate_left(16);
    let delta = found.slot.l4_delta();
    if packet.arrival.protocol == u32::from(TCP) {
        let tcp = frame.view::<Tcp>(transport_offset::<I>())?;
        tcp.ports.set(ports);
        tcp.check.set(checksum::apply(tcp.check.get(), delta));
    } else {
        let udp = frame.view::<Udp>(transport_offset::<I>())?;
        udp.ports.set(ports);
        // Zero says that there is no checksum; one that comes out as zero is sent as 0xffff.
        let check = udp.check.get();
        if check != 0 {
            let check = checksum::apply(check, delta);
            udp.check.set(if check == 0 { 0xffff } else { check });
        }
    }
    let l3_delta = found.slot.l3_delta();
    frame.view::<I>(ETHERNET_LEN)?.readdress(way.source, way.destination, l3_delta);
    let ethernet = frame.view::<Ethernet>(0)?;
    ethernet.destination.set_words(way.hop);
    ethernet.source.set_words(way.mac);
    Some(())
}
