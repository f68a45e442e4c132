//! TCP and UDP.

use super::{
    checksum,
    word::{Wire, fields},
};
use privatelink_common::{Reason, TCP, UDP};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The fields of a transport header.
#[derive(Clone, Copy, Default)]
pub struct Segment {
    /// Source port and destination port.
    pub ports: u32,
    /// [`tcp_flags`]; zero for UDP.
    pub flags: u32,
    /// Length of the header with its options.
    pub header: u32,
}

/// The ports of packets that go the other way: source and destination are the halves of the word.
#[inline(always)]
pub const fn swapped(ports: u32) -> u32 {
    ports.rotate_left(16)
}

/// What differs between TCP and UDP.
pub trait Transport: Wire {
    /// IP protocol number.
    const PROTOCOL: u32;
    /// Where in the header the checksum stands.
    const CHECK: usize;

    /// Reads the header of a payload of this length.
    ///
    /// # Errors
    /// What keeps the packet from being followed.
    fn segment(&self, payload: u32, may_lack_checksum: bool) -> Result<Segment, Reason>;
    /// Whether there is a checksum.
    fn has_checksum(&self) -> bool;
    /// Puts both ports.
    fn put_ports(&mut self, ports: u32);
    /// Changes the checksum by what has been rewritten.
    fn amend(&mut self, l4_delta: u16);
    /// Puts both ports, and the checksum that goes with all that was rewritten.
    #[inline(always)]
    fn rewrite(&mut self, ports: u32, l4_delta: u16) {
        self.put_ports(ports);
        self.amend(l4_delta);
    }
}

/// The TCP header without options.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Tcp {
    ports: [u8; 4],
    sequence: [u8; 4],
    acknowledgment: [u8; 4],
    offset_flags: [u8; 2],
    window: [u8; 2],
    check: [u8; 2],
    urgent: [u8; 2],
}

fields!(Tcp:
    /// Source port and destination port.
    ports: u32 = set_ports;
    /// Sequence number.
    sequence: u32 = set_sequence;
    /// Acknowledgment number.
    acknowledgment: u32 = set_acknowledgment;
    /// Length of the header in its upper four bits, then the flags.
    offset_flags: u16 = set_offset_flags;
    /// Receive window.
    window: u16 = set_window;
    /// Checksum.
    check: u16 = set_check;
    /// Urgent pointer.
    urgent: u16 = set_urgent;
);

impl Transport for Tcp {
    const PROTOCOL: u32 = TCP as u32;
    const CHECK: usize = core::mem::offset_of!(Self, check);

    #[inline(always)]
    fn segment(&self, payload: u32, _may_lack_checksum: bool) -> Result<Segment, Reason> {
        let offset_flags = u32::from(u16::from_be(self.offset_flags()));
        let header_len = offset_flags >> 12 << 2;
        if header_len < size_of::<Self>() as u32 || header_len > payload {
            return Err(Reason::Malformed);
        }
        Ok(Segment { ports: self.ports(), flags: offset_flags & 0xff, header: header_len })
    }

    #[inline(always)]
    fn has_checksum(&self) -> bool {
        true
    }

    #[inline(always)]
    fn put_ports(&mut self, ports: u32) {
        self.set_ports(ports);
    }

    #[inline(always)]
    fn amend(&mut self, l4_delta: u16) {
        self.set_check(checksum::apply(self.check(), l4_delta));
    }
}

/// Bits of TCP's flags.
pub mod tcp_flags {
    /// No more data from the sender.
    pub const FIN: u32 = 1;
    /// Opens a conversation.
    pub const SYN: u32 = 2;
    /// Ends it at once.
    pub const RST: u32 = 4;
    /// The acknowledgment number counts.
    pub const ACK: u32 = 16;
}

/// The UDP header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Udp {
    ports: [u8; 4],
    length: [u8; 2],
    check: [u8; 2],
}

fields!(Udp:
    /// Source port and destination port.
    ports: u32 = set_ports;
    /// Length of header and payload.
    length: u16;
    /// Checksum; zero means none over IPv4.
    check: u16 = set_check;
);

impl Transport for Udp {
    const PROTOCOL: u32 = UDP as u32;
    const CHECK: usize = core::mem::offset_of!(Self, check);

    #[inline(always)]
    fn segment(&self, payload: u32, may_lack_checksum: bool) -> Result<Segment, Reason> {
        let length = u32::from(u16::from_be(self.length()));
        if length < size_of::<Self>() as u32 || length > payload {
            return Err(Reason::Malformed);
        }
        if !may_lack_checksum && self.check() == 0 {
            return Err(Reason::BadChecksum);
        }
        Ok(Segment { ports: self.ports(), flags: 0, header: size_of::<Self>() as u32 })
    }

    #[inline(always)]
    fn has_checksum(&self) -> bool {
        self.check() != 0
    }

    #[inline(always)]
    fn put_ports(&mut self, ports: u32) {
        self.set_ports(ports);
    }

    #[inline(always)]
    fn amend(&mut self, l4_delta: u16) {
        // Zero says that there is no checksum; one that comes out as zero is sent as 0xffff.
        let check = self.check();
        if check != 0 {
            let check = checksum::apply(check, l4_delta);
            self.set_check(if check == 0 { 0xffff } else { check });
        }
    }
}
