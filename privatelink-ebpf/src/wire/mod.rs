//! Headers as they are on the wire: byte arrays in network order, at any alignment.
//!
//! A header type only names bytes; the code that uses them checks them. Accessors return words as
//! the machine loads them; a number on the wire is converted where it is used as a number.

mod across;
mod arp;
pub mod checksum;
mod ethernet;
mod extension;
mod fresh;
mod head;
mod icmp;
mod icmpv6;
mod ip;
mod ipv4;
mod ipv6;
mod transport;
mod vlan;
mod word;

pub use across::NO_MESSAGE;
pub use arp::Arp;
pub use checksum::Gains;
pub use ethernet::{ETHERNET_LEN, EtherType, Ethernet, MacWords};
pub use extension::{Extension, Fragment, Word, option};
pub use fresh::{Fresh, NewHeader};
pub use head::{Front, Head};
pub use icmp::{Control, FRESH_TTL, Icmp, LEAST_QUOTE, Quoted, QuotedTcp, icmp_v4, icmp_v6};
pub use icmpv6::{NeighbourMessage, NeighbourOption};
pub use ip::{Datagram, Ip};
pub use ipv4::Ipv4;
pub use ipv6::Ipv6;
pub use transport::{Segment, Tcp, Transport, Udp, swapped, tcp_flags};
pub use vlan::VlanTag;
pub use word::{Wire, masked};
