//! ICMP (RFC 792) and ICMPv6 (RFC 4443): one header, two sets of numbers.

use super::{checksum, ip::Ip, word::fields};
use privatelink_common::Reason;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The head of a message of either family; behind that of an error stands the packet that it is
/// about.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    check: [u8; 2],
    rest: [u8; 4],
}

fields!(Icmp:
    /// Checksum; that of ICMPv6 covers the pseudo header too.
    check: u16 = set_check;
    /// Identifier and sequence number of an echo; the MTU in an error that has one: the whole field
    /// in ICMPv6, its lower half in ICMP.
    rest: u32 = set_rest;
);

impl Icmp {
    /// Turns an echo request into its answer; a wrong checksum stays wrong.
    pub fn answer<I: Control>(&mut self) {
        let first = |kind: u8, code| u32::from(u16::from_ne_bytes([kind, code]));
        let change = checksum::difference(first(self.kind, self.code), first(I::ECHO_REPLY, 0));
        self.kind = I::ECHO_REPLY;
        self.set_check(checksum::apply(self.check(), change));
    }
}

/// A family's control messages: what differs between ICMP and ICMPv6.
pub trait Control: Ip {
    /// IP protocol number.
    const ICMP: u8;
    /// Asks for an echo reply.
    const ECHO_REQUEST: u8;
    /// Answer to an echo request.
    const ECHO_REPLY: u8;

    /// Kind of what follows the header.
    fn follows(&self) -> u8;
    /// The ones' complement sum over both addresses.
    fn address_sum(&self) -> u32;
    /// Sends the packet back to its sender, with all hops before it.
    fn turn_back(&mut self);
    /// Whether an address can be one host's.
    fn is_host(address: Self::Address) -> bool;

    /// Whether a message of this type is an error about the packet that it quotes.
    fn is_error(kind: u8) -> bool;
    /// Whether an error says that its packet's destination cannot be reached, whatever the packet.
    fn is_unreachable(kind: u8, code: u8) -> bool;
    /// Reads the header of a quoted packet.
    ///
    /// # Errors
    /// What keeps it from being followed.
    fn quoted(&self) -> Result<Quoted<Self>, Reason>;
    /// Puts both addresses into a quoted header, where they sum to `gain` more; returns what the
    /// header's own checksum gains.
    fn requote(&mut self, source: Self::Address, destination: Self::Address, gain: u16) -> u16;
    /// What the message's checksum gains when the addresses of the packet around it do.
    fn pseudo_header(gain: u16) -> u16;
}

/// The fields of a quoted header.
#[derive(Clone, Copy)]
pub struct Quoted<I: Ip> {
    /// Source address, in the family's own form.
    pub source: I::Address,
    /// Destination address, in the family's own form.
    pub destination: I::Address,
    /// Protocol of what follows.
    pub protocol: u32,
    /// Length of the header.
    pub length: u32,
}

/// What an error must quote of a transport header (RFC 792): the ports, and the checksum of UDP.
pub const LEAST_QUOTE: u32 = 8;

/// A quoted TCP header as far as its checksum.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct QuotedTcp {
    ports: [u8; 4],
    between: [u8; 12],
    check: [u8; 2],
}

fields!(QuotedTcp:
    /// Checksum.
    check: u16 = set_check;
);

/// Hops of a packet that the gateway makes.
pub const FRESH_TTL: u8 = 64;

/// Types and codes of ICMP.
pub mod icmp_v4 {
    /// IP protocol number.
    pub const PROTOCOL: u8 = 1;
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 0;
    /// The packet could not be delivered.
    pub const UNREACHABLE: u8 = 3;
    /// Asks for an echo reply.
    pub const ECHO_REQUEST: u8 = 8;
    /// No hops were left, or a fragment was missing for too long.
    pub const TIME_EXCEEDED: u8 = 11;
    /// A header of the packet is malformed.
    pub const PARAMETER_PROBLEM: u8 = 12;

    /// [`UNREACHABLE`]: the host is unreachable.
    pub const HOST: u8 = 1;
    /// [`UNREACHABLE`]: no program listens on the port.
    pub const PORT: u8 = 3;
    /// [`UNREACHABLE`]: too large for the next link, and may not be fragmented.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// [`UNREACHABLE`]: administratively prohibited.
    pub const PROHIBITED: u8 = 13;
}

/// Types and codes of ICMPv6.
pub mod icmp_v6 {
    /// Next header number.
    pub const PROTOCOL: u8 = 58;
    /// The packet could not be delivered.
    pub const UNREACHABLE: u8 = 1;
    /// Too large for the next link.
    pub const TOO_BIG: u8 = 2;
    /// No hops were left, or a fragment was missing for too long.
    pub const TIME_EXCEEDED: u8 = 3;
    /// A header of the packet is malformed.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Asks for an echo reply.
    pub const ECHO_REQUEST: u8 = 128;
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 129;

    /// [`UNREACHABLE`]: administratively prohibited.
    pub const PROHIBITED: u8 = 1;
    /// [`UNREACHABLE`]: the address is unreachable.
    pub const ADDRESS: u8 = 3;
    /// [`UNREACHABLE`]: no program listens on the port.
    pub const PORT: u8 = 4;
}
