//! ARP for IPv4 over Ethernet.

use super::{N32, WireMac};
use privatelink_common::Mac;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An ARP message.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout)]
pub struct Arp {
    /// Hardware and protocol types and their address lengths.
    pub kind: [u8; 6],
    /// Request or reply.
    pub operation: [u8; 2],
    /// Who speaks.
    pub sender_mac: WireMac,
    /// Who speaks.
    pub sender: N32,
    /// Who is asked or told; unknown in a request.
    pub target_mac: WireMac,
    /// Who is asked or told.
    pub target: N32,
}

impl Arp {
    /// Ethernet, IPv4, 6 and 4 bytes.
    pub const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
    /// A question.
    pub const REQUEST: [u8; 2] = [0, 1];
    /// An answer.
    pub const REPLY: [u8; 2] = [0, 2];

    /// Turns a request for an address into the reply of `mac`, its holder.
    pub fn answer(&mut self, mac: Mac) {
        self.operation = Self::REPLY;
        let asker = self.sender.get();
        self.target_mac.set_words(self.sender_mac.words());
        self.sender_mac.set(mac);
        self.sender.set(self.target.get());
        self.target.set(asker);
    }
}
