//! Headers as they are on the wire: byte arrays in network order, at any alignment.
//!
//! A header type only names bytes; whether they make sense is decided where they are used.

mod arp;
mod ethernet;
mod icmpv6;
mod ipv4;
mod ipv6;
mod transport;
mod word;

pub use arp::Arp;
pub use ethernet::{ETHERNET_LEN, EtherType, Ethernet, WireMac};
pub use icmpv6::{NeighbourMessage, NeighbourOption};
pub use ipv4::Ipv4;
pub use ipv6::Ipv6;
pub use transport::{Tcp, Udp, tcp_flags};
pub use word::{N16, N32};

use privatelink_common::{Addr, Endpoint, Listener, Pool, Service, flow::Slot};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A header: any bytes are one, wherever they begin.
pub trait Wire: FromBytes + IntoBytes + Unaligned + Immutable + KnownLayout {}

impl<T: FromBytes + IntoBytes + Unaligned + Immutable + KnownLayout> Wire for T {}

/// What an IP header says about the packet, as far as it can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A whole packet with the transport header right behind.
    Plain {
        /// IP protocol number.
        protocol: u8,
        /// Length of the packet from the IP header on.
        length: u16,
    },
    /// Options or extension headers.
    Options,
    /// A fragment.
    Fragment,
    /// Not a header of this family.
    Malformed,
}

/// What differs between the two families; everything else is written once.
pub trait Ip: Wire + Copy {
    /// An address in native machine words of its bytes.
    type Address: Copy + PartialEq;

    /// Length of the header without options.
    const LEN: usize;
    /// What a slot's word says of packets that arrive as this family.
    const ARRIVES: u32;
    /// What a slot's word says of packets that leave as this family.
    const LEAVES: u32;

    /// How far the packet can be followed.
    fn shape(&self) -> Shape;
    /// Whether the header's own checksum is right; there is none in IPv6.
    fn checksum_holds(&self) -> bool;
    /// The sender.
    fn source(&self) -> Self::Address;
    /// The receiver.
    fn destination(&self) -> Self::Address;
    /// Remaining hops.
    fn ttl(&self) -> u8;
    /// Puts both addresses, one hop less, and the checksum that goes with them.
    fn readdress(&mut self, source: Self::Address, destination: Self::Address, l3_delta: u16);

    /// From the form of the maps.
    fn from_addr(address: &Addr) -> Self::Address;
    /// To the form of the maps.
    fn to_addr(address: Self::Address) -> Addr;
    /// The endpoint's address of this family.
    fn of_endpoint(endpoint: &Endpoint) -> Self::Address;
    /// The client's address in a slot.
    fn of_client(slot: &Slot) -> Self::Address;
    /// The listener's backends of this family.
    fn backends(listener: &Listener) -> Pool;
    /// The service's source addresses of this family.
    fn sources(service: &Service) -> Pool;
    /// The address's part of the hash; `key` yields the secret keys from 2 on.
    fn hash(source: Self::Address, destination: Self::Address, key: impl Fn(usize) -> u32) -> u64;
    /// The ones' complement sum over the address.
    fn sum(address: Self::Address) -> u32;
}
