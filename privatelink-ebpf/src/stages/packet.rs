//! A TCP or UDP packet, checked and taken apart.

use crate::{
    environment::{Frame, Load, Segments, Tables},
    flows::table::Arrival,
    stages::chain::{self, Chain, Chained},
    wire::{
        Datagram, ETHERNET_LEN, Extension, Fragment, Front, Head, Ip, Segment, Tcp, Transport, Udp,
        tcp_flags,
    },
};
use privatelink_common::Reason;

/// What the path needs of a packet.
#[derive(Clone, Copy)]
pub struct Packet<I: Ip> {
    /// The tuple; a later fragment has no ports.
    pub arrival: Arrival<I>,
    /// Length from the IP header on.
    pub length: u32,
    /// [`tcp_flags`]; zero for UDP.
    pub flags: u32,
    /// Which part of a datagram it is.
    pub fragment: Fragment,
    transport: u16,
    /// Length of the transport header, which a later fragment does not have.
    header: u16,
}

impl<I: Ip> Packet<I> {
    /// Takes a packet apart and checks all that the rewrite relies on, whatever stands before its
    /// transport header.
    ///
    /// # Errors
    /// Why it cannot be carried, to any destination.
    #[inline(never)]
    pub fn read_slowly<F: Frame, T: Tables>(
        frame: &mut F,
        tables: &T,
        network: u32,
    ) -> Result<Self, Reason>
    where
        I: Chained,
    {
        let datagram = frame.view::<Front<I>>(0).ok_or(Reason::Malformed)?.ip.datagram();
        let (chain, otherwise) = match datagram {
            Ok(datagram) => (Chain::plain(datagram), Reason::Protocol),
            Err(reason @ (Reason::Options | Reason::Fragment)) => {
                (I::chain(frame, tables)?, reason)
            }
            Err(reason) => return Err(reason),
        };
        if !frame.holds(ETHERNET_LEN + chain.datagram.length as usize) {
            return Err(Reason::Malformed);
        }
        if chain.fragment.is_part() {
            chain.check_part()?;
        }
        let segment = match chain.datagram.protocol {
            Tcp::PROTOCOL | Udp::PROTOCOL if chain.fragment.is_later() => Segment::default(),
            // The first fragment knows what comes behind these.
            kind if chain.fragment.is_later() && Extension::is_followed(kind) => Segment::default(),
            Tcp::PROTOCOL => chain.segment::<F, Tcp>(frame)?,
            Udp::PROTOCOL => chain.segment::<F, Udp>(frame)?,
            _ => return Err(otherwise),
        };
        let Datagram { source, destination, protocol, length } = chain.datagram;
        let arrival = Arrival { network, source, destination, ports: segment.ports, protocol };
        Ok(Self {
            arrival,
            length,
            flags: segment.flags,
            fragment: chain.fragment,
            transport: chain.transport as u16,
            header: segment.header as u16,
        })
    }

    /// Where the transport header begins in the frame.
    #[inline(always)]
    pub fn transport(&self) -> usize {
        chain::bounded(u32::from(self.transport))
    }

    /// Length from the IP header on of the largest packet that it stands for.
    #[inline(always)]
    pub fn largest(&self, segments: Segments) -> u32 {
        segments.largest(self.length, self.headers())
    }

    /// What it weighs against limits and in counters.
    #[inline(always)]
    pub fn load(&self, segments: Segments) -> Load {
        segments.load(self.length, self.headers())
    }

    /// Length of all headers from the IP header on.
    #[inline(always)]
    fn headers(&self) -> u32 {
        u32::from(self.transport) + u32::from(self.header) - ETHERNET_LEN as u32
    }

    /// Where in the frame the part of the datagram begins that a fragment holds.
    #[inline(always)]
    pub fn part_at(&self) -> u32 {
        chain::part_at(self.fragment, u32::from(self.transport))
    }

    /// Bytes of the datagram that a fragment holds.
    #[inline(always)]
    pub fn part_length(&self) -> u32 {
        ETHERNET_LEN as u32 + self.length - self.part_at()
    }

    /// Where in the datagram the transport header of a first fragment ends.
    #[inline(always)]
    pub fn transport_end(&self) -> u32 {
        u32::from(self.transport) + u32::from(self.header) - self.part_at()
    }

    /// Goes on after a plain IP header.
    ///
    /// # Errors
    /// Why it cannot be carried, to any destination.
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
        let Segment { ports, flags, header } =
            head.transport.segment(payload, I::UDP_MAY_LACK_CHECKSUM)?;
        let arrival = Arrival { network, source, destination, ports, protocol };
        let packet = Self {
            arrival,
            length,
            flags,
            fragment: Fragment::default(),
            transport: (ETHERNET_LEN + I::LEN) as u16,
            header: header as u16,
        };
        Ok((packet, head))
    }
}

/// Whether a TCP packet with these flags may open a flow.
#[inline(always)]
pub fn opens_tcp(flags: u32) -> bool {
    flags & (tcp_flags::SYN | tcp_flags::ACK | tcp_flags::RST) == tcp_flags::SYN
}
