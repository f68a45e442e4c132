//! What differs between IPv4 and IPv6.

use super::word::Wire;
use privatelink_common::{Addr, Endpoint, Listener, Pool, Reason, Service, flow::Slot, sip::Prf};

/// The fields of the IP header of a whole packet without options.
#[derive(Clone, Copy)]
pub struct Datagram<I: Ip> {
    /// Source address, in the family's own form.
    pub source: I::Address,
    /// Destination address, in the family's own form.
    pub destination: I::Address,
    /// Protocol of the payload.
    pub protocol: u32,
    /// Length from the IP header on; never less than the header's own.
    pub length: u32,
}

/// What differs between the two families; everything else is written once.
pub trait Ip: Wire + Copy {
    /// An address in native machine words of its bytes.
    type Address: Copy + PartialEq;

    /// Length of the header without options.
    const LEN: usize;
    /// Length of what a fragment has besides.
    const FRAGMENT_LEN: usize;
    /// What a slot's word says of packets that arrive as this family.
    const ARRIVES: u32;
    /// What a slot's word says of packets that leave as this family.
    const LEAVES: u32;
    /// Whether a UDP checksum of zero means that there is none.
    const UDP_MAY_LACK_CHECKSUM: bool;
    /// Whether fragments of different protocols are of different datagrams.
    const IDENTIFIED_BY_PROTOCOL: bool;
    /// How long a receiver waits for the rest of a datagram.
    const REASSEMBLY_TICKS: u32;

    /// Reads the header of a whole packet without options.
    ///
    /// # Errors
    /// What keeps the packet from being followed.
    fn datagram(&self) -> Result<Datagram<Self>, Reason>;
    /// The packet's destination, without any check of the header.
    fn receiver(&self) -> Self::Address;
    /// Whether an address is one that no packet of this family has: an IPv4 one, in IPv6.
    fn is_mapped(&self) -> bool {
        false
    }
    /// TTL or hop limit: how many routers may still forward the packet.
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
    /// Number of the node where the search for a client in security rules begins.
    const RULES: u32;
    /// Bytes of two addresses.
    const PAIR: u64 = 2 * size_of::<Self::Address>() as u64;
    /// Adds both addresses, [`Ip::PAIR`] bytes, to the message of a keyed function.
    fn absorb(prf: Prf, source: Self::Address, destination: Self::Address) -> Prf;
    /// The ones' complement sum over the address.
    fn sum(address: Self::Address) -> u32;
}
