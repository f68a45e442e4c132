//! A plain TCP or UDP packet, checked and taken apart.

use crate::{
    flow_table::Arrival,
    frame::Frame,
    wire::{Datagram, ETHERNET_LEN, Front, Head, Ip, Tcp, Transport, Udp},
};
use privatelink_common::Reason;

/// What the path needs of a packet.
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
        let datagram = frame.view::<Front<I>>(0).ok_or(Reason::Malformed)?.ip.datagram()?;
        match datagram.protocol {
            Tcp::PROTOCOL => Ok(Self::read_transport::<F, Tcp>(frame, network, &datagram)?.0),
            Udp::PROTOCOL => Ok(Self::read_transport::<F, Udp>(frame, network, &datagram)?.0),
            _ => Err(Reason::Protocol),
        }
    }

    /// [`Packet::read`] out of line: what it holds in registers need not stay on the stack.
    ///
    /// # Errors
    /// As [`Packet::read`].
    #[inline(never)]
    pub fn read_slowly<F: Frame>(frame: &mut F, network: u32) -> Result<Self, Reason> {
        Self::read(frame, network)
    }

    /// Goes on after the IP header.
    ///
    /// # Errors
    /// As [`Packet::read`].
    #[inline(always)]
    pub fn read_transport<'f, F: Frame, L: Transport>(
        frame: &'f mut F,
        network: u32,
        datagram: &Datagram<I>,
    ) -> Result<(Self, &'f mut Head<I, L>), Reason> {
        let &Datagram { source, destination, protocol, length } = datagram;
        if !frame.holds(ETHERNET_LEN + length as usize) {
            return Err(Reason::Malformed);
        }
        let head = frame.view::<Head<I, L>>(0).ok_or(Reason::Malformed)?;
        let payload = length - I::LEN as u32;
        let segment = head.transport.segment(payload, I::UDP_MAY_LACK_CHECKSUM)?;
        let arrival = Arrival { network, source, destination, ports: segment.ports, protocol };
        Ok((Self { arrival, length, flags: segment.flags }, head))
    }
}
