//! ARP for IPv4 over Ethernet.

use super::{ethernet::MacWords, word::fields};
use privatelink_common::{Mac, flow::split_mac};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An ARP message.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Arp {
    types: [u8; 4],
    lengths: [u8; 2],
    operation: [u8; 2],
    sender_mac_high: [u8; 2],
    sender_mac_low: [u8; 4],
    sender: [u8; 4],
    target_mac_high: [u8; 2],
    target_mac_low: [u8; 4],
    target: [u8; 4],
}

fields!(Arp:
    /// Hardware and protocol types.
    types: u32;
    /// Lengths of their addresses.
    lengths: u16;
    /// Request or reply.
    operation: u16 = set_operation;
    /// Sender's Ethernet address, first two bytes.
    sender_mac_high: u16 = set_sender_mac_high;
    /// Sender's Ethernet address, last four bytes.
    sender_mac_low: u32 = set_sender_mac_low;
    /// Sender's IPv4 address.
    sender: u32 = set_sender;
    /// Target's Ethernet address, first two bytes.
    target_mac_high: u16 = set_target_mac_high;
    /// Target's Ethernet address, last four bytes.
    target_mac_low: u32 = set_target_mac_low;
    /// Target's IPv4 address.
    target: u32 = set_target;
);

impl Arp {
    const REQUEST: u16 = 1_u16.to_be();
    const REPLY: u16 = 2_u16.to_be();
    const ETHERNET_IPV4: (u32, u16) = (0x0001_0800_u32.to_be(), 0x0604_u16.to_be());

    /// The address that this message asks for, if it is a request for an IPv4 address.
    pub fn asks_for(&self) -> Option<u32> {
        let request = (self.types(), self.lengths()) == Self::ETHERNET_IPV4
            && self.operation() == Self::REQUEST;
        request.then(|| self.target())
    }

    /// Whether this is a reply about an IPv4 address.
    pub fn answers(&self) -> bool {
        (self.types(), self.lengths()) == Self::ETHERNET_IPV4 && self.operation() == Self::REPLY
    }

    /// The sender's Ethernet address.
    pub fn sender_mac(&self) -> MacWords {
        (self.sender_mac_high(), self.sender_mac_low())
    }

    /// Turns a request into the reply of `mac`, the holder of the address.
    pub fn answer(&mut self, mac: Mac) {
        let (high, low) = split_mac(mac);
        let (asked, asker) = (self.target(), self.sender());
        self.set_operation(Self::REPLY);
        self.set_target_mac_high(self.sender_mac_high());
        self.set_target_mac_low(self.sender_mac_low());
        self.set_target(asker);
        self.set_sender_mac_high(high);
        self.set_sender_mac_low(low);
        self.set_sender(asked);
    }
}
