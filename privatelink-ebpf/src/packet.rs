//! A plain TCP or UDP packet, checked and taken apart.

use crate::{
    flow_table::Arrival,
    frame::Frame,
    transport_offset,
    wire::{ETHERNET_LEN, Ip, Shape, Tcp, Udp},
};
use privatelink_common::{Reason, TCP, UDP};

/// What the rest of the path needs of a packet.
#[derive(Clone, Copy)]
pub struct Packet<I: Ip> {
    /// The tuple.
    pub arrival: Arrival<I>,
    /// Length from the IP header on.
    pub length: u32,
    /// [`tcp_flags`](crate::wire::tcp_flags); zero for UDP.
    pub flags: u32,
}

impl<I: Ip> Packet<I> {
    /// Takes a packet apart and checks all that the rewrite relies on.
    ///
    /// # Errors
    /// Why it cannot be carried, whoever it is for.
    #[inline(always)]
    pub fn read<F: Frame>(frame: &mut F, network: u32) -> Result<Self, Reason> {
        let header = frame.view::<I>(ETHERNET_LEN).ok_or(Reason::Malformed)?;
        let (protocol, length) = match header.shape() {
            Shape::Plain { protocol, length } => (u32::from(protocol), u32::from(length)),
            Shape::Options => return Err(Reason::Options),
            Shape::Fragment => return Err(Reason::Fragment),
            Shape::Malformed => return Err(Reason::Malformed),
        };
        if !header.checksum_holds() {
            return Err(Reason::BadChecksum);
        }
        let (source, destination) = (header.source(), header.destination());
        if length < I::LEN as u32 || !frame.holds(ETHERNET_LEN + length as usize) {
            return Err(Reason::Malformed);
        }
        let payload = length - I::LEN as u32;
        let (ports, flags) = if protocol == u32::from(TCP) {
            let tcp = frame.view::<Tcp>(transport_offset::<I>()).ok_or(Reason::Malformed)?;
            let header_len = tcp.header_len() as u32;
            if header_len < Tcp::LEN as u32 || header_len > payload {
                return Err(Reason::Malformed);
            }
            (tcp.ports.get(), u32::from(tcp.flags))
        } else if protocol == u32::from(UDP) {
            let udp = frame.view::<Udp>(transport_offset::<I>()).ok_or(Reason::Malformed)?;
            let udp_len = u32::from(udp.length.value());
            if udp_len < Udp::LEN as u32 || udp_len > payload {
                return Err(Reason::Malformed);
            }
            // IPv6 has no "no checksum" (RFC 8200).
            if I::ARRIVES != 0 && udp.check.get() == 0 {
                return Err(Reason::BadChecksum);
            }
            (udp.ports.get(), 0)
        } else {
            return Err(Reason::Protocol);
        };
        let arrival = Arrival { network, source, destination, ports, protocol };
        Ok(Self { arrival, length, flags })
    }
}
