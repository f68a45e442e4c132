//! The two sides of the gateway, for one direction of a flow: where its packets come in, and where
//! they go out.

use crate::{
    environment::Tables,
    flows::table::{Leg, prf},
    wire::{Ip, Ipv4, Ipv6, MacWords},
};
use privatelink_common::flow::split_mac;

/// The other side of the gateway, for one direction of a flow.
pub struct Egress<I: Ip> {
    /// Sender of packets to the other side.
    pub source: I::Address,
    /// Receiver of packets to the other side.
    pub destination: I::Address,
    /// Ports as packets from the other side carry them. Packets to it carry them
    /// [`swapped`](crate::wire::swapped).
    pub ports: u32,
    /// The gateway's address on the side that packets come from.
    pub own: MacWords,
    /// The gateway's address on the side that packets go to.
    pub mac: MacWords,
    /// Ethernet address of the next hop.
    pub hop: MacWords,
    /// The interface that they leave by.
    pub ifindex: u32,
    /// Largest IP packet that goes out.
    pub mtu: u32,
    /// Largest IP packet that goes out without a tag; zero if all need one.
    pub untagged_mtu: u32,
    /// VLAN that it goes out on; zero is untagged.
    pub vlan: u16,
    /// Whether packets to it come from a client.
    pub from_consumer: bool,
}

impl<I: Ip> Egress<I> {
    /// The way that a slot and its records describe.
    #[inline(always)]
    pub fn of(leg: &Leg<'_>) -> Self {
        if leg.is_reverse() {
            Self {
                source: I::of_endpoint(leg.endpoint),
                destination: I::of_client(leg.slot),
                ports: leg.slot.consumer_ports(),
                own: split_mac(leg.target.mac),
                mac: split_mac(leg.endpoint.mac),
                // Replies go to the Ethernet address that the client's packets come from.
                hop: leg.slot.client_mac(),
                ifindex: leg.endpoint.ifindex,
                mtu: leg.endpoint.largest(),
                untagged_mtu: leg.endpoint.mtu.into(),
                vlan: leg.endpoint.vlan,
                from_consumer: false,
            }
        } else {
            Self {
                source: I::from_addr(&leg.source.address),
                destination: I::from_addr(&leg.target.address),
                ports: leg.slot.provider_ports(),
                own: split_mac(leg.endpoint.mac),
                mac: split_mac(leg.target.mac),
                hop: split_mac(leg.target.hop),
                ifindex: leg.target.ifindex,
                mtu: leg.target.largest(),
                untagged_mtu: leg.target.mtu.into(),
                vlan: leg.target.vlan,
                from_consumer: true,
            }
        }
    }
}

impl<I: Ip> Egress<I> {
    /// Where the identifications begin of fragments between the two addresses.
    #[inline(always)]
    pub fn first_identification<T: Tables>(&self, tables: &T) -> u64 {
        // The message is shorter than any of a tuple.
        I::absorb(prf(tables), self.source, self.destination).finish(I::PAIR, 0)
    }
}

/// What a packet of a flow is checked against where it comes in.
pub struct Ingress {
    /// The gateway's address on the side that it comes from.
    pub own: MacWords,
    /// Largest IP packet that still fits the outgoing interface once it is rewritten.
    pub max_input_len: u32,
}

impl Ingress {
    /// Those of a flow within one family.
    #[inline(always)]
    pub fn of(leg: &Leg<'_>) -> Self {
        let Leg { endpoint, target, .. } = leg;
        let (own, max_input_len) = if leg.is_reverse() {
            (target.mac, endpoint.largest())
        } else {
            (endpoint.mac, target.largest())
        };
        Self { own: split_mac(own), max_input_len }
    }
}

/// The largest IP packet of a family that leaves as one of at most `mtu` bytes.
#[inline(always)]
pub fn max_input_len<I: Ip>(leaves: u32, mtu: u32) -> u32 {
    let out = if leaves == Ipv6::LEAVES { Ipv6::LEN } else { Ipv4::LEN };
    mtu.wrapping_add(I::LEN as u32).wrapping_sub(out as u32)
}

/// The same of a fragment without other extension headers.
#[inline(always)]
pub fn max_fragment_input_len<I: Ip>(leaves: u32, mtu: u32) -> u32 {
    let out = if leaves == Ipv6::LEAVES { Ipv6::FRAGMENT_LEN } else { Ipv4::FRAGMENT_LEN };
    max_input_len::<I>(leaves, mtu).wrapping_add(I::FRAGMENT_LEN as u32).wrapping_sub(out as u32)
}

/// The MTU to tell the sender of a datagram that was too large. It may cut the next one into
/// fragments of that size, and over IPv6 each of them has a header that it lacks over IPv4.
#[inline(always)]
pub fn leave_room<I: Ip>(leaves: u32, mtu: u32) -> u32 {
    let added = leaves == Ipv6::LEAVES && I::FRAGMENT_LEN == 0;
    if added { mtu.wrapping_sub(Ipv6::FRAGMENT_LEN as u32) } else { mtu }
}
