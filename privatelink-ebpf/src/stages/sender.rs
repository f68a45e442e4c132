//! Who may be the sender of a packet.

use super::packet::Packet;
use crate::{
    environment::Tables,
    wire::{Control, Ip as _, Ipv6, MacWords},
};
use privatelink_common::{LocalKey, SenderKey};

/// Whether the sender of a packet can be a client: a host, and not the gateway itself.
///
/// Out of line, because the stage that opens flows has no stack to spare.
#[inline(never)]
pub fn is_client<T: Tables, I: Control>(tables: &T, packet: &Packet<I>) -> bool {
    is_host::<T, I>(tables, packet.arrival.network, packet.arrival.source)
}

/// Whether an address is one that a network's hosts have, by its address ranges.
#[inline(always)]
pub fn is_in<T: Tables, I: Control>(tables: &T, network: u32, address: I::Address) -> bool {
    is_host::<T, I>(tables, network, address)
        && tables.has_sender(&SenderKey::of(network, I::to_addr(address)))
}

/// Whether an address can be that of a host in a network.
#[inline(always)]
fn is_host<T: Tables, I: Control>(tables: &T, network: u32, address: I::Address) -> bool {
    // The gateway's own addresses, and those of all hosts of a subnet.
    let key = LocalKey { network, address: I::to_addr(address) };
    I::is_host(address) && !is_mapped::<I>(address) && tables.local(&key).is_none()
}

/// Whether an IPv6 address is an IPv4 address in another form, in which it never is on a wire.
#[inline(always)]
pub fn is_mapped<I: Control>(address: I::Address) -> bool {
    let [a, b, c, _] = I::to_addr(address).words();
    I::ARRIVES == Ipv6::ARRIVES && a | b == 0 && c == 0xffff_u32.to_be()
}

/// Whether an Ethernet address is that of a group.
#[inline(always)]
pub fn is_group(mac: MacWords) -> bool {
    let [first, _] = mac.0.to_ne_bytes();
    first & 1 != 0
}
