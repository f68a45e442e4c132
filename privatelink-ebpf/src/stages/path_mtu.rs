//! Which reports of a path's MTU are believed.
//!
//! A host keeps the MTU of a path by the address at its far end. For a target that is the source
//! address, which all consumers of the service share: what one of them reports, or forges, the
//! target believes of all. So no report crosses that would take much from the others. Below
//! [`LEAST`] there is hardly a path; its clients announce a small segment, or their network's MTU
//! is configured.

use crate::{
    environment::Frame,
    flows::table::Leg,
    wire::{ETHERNET_LEN, Fresh, Icmp, Ip as _, Ipv4, Tcp, Transport as _},
};
use privatelink_common::flow::Phase;

/// The least MTU that a target is told of, and anyone over IPv6: every link has it there.
const LEAST: u32 = 1280;
/// The least MTU that an IPv4 client is told of: every host accepts as much (RFC 791).
const LEAST_V4: u32 = 576;

/// Whether a message is a report of an MTU that must not go on; `leg` is that of packets in answer
/// to the one that it quotes.
#[inline(never)]
pub fn is_refused<F: Frame, I: Fresh>(frame: &mut F, leg: &Leg<'_>) -> bool {
    let Some(message) = frame.view::<Icmp>(ETHERNET_LEN + I::LEN) else { return true };
    if (message.kind, message.code) != I::TOO_BIG {
        return false;
    }
    let is_v4 = I::LEAVES == Ipv4::LEAVES;
    let rest = u32::from_be(message.rest());
    let mtu = if is_v4 { rest & 0xffff } else { rest };
    // An error from the provider's side goes to one client, about one endpoint.
    let least = if is_v4 && leg.is_reverse() { LEAST_V4 } else { LEAST };
    // A target that has not answered has sent nothing that could be too big.
    let is_early = leg.protocol() == Tcp::PROTOCOL
        && !leg.is_reverse()
        && Phase::of(leg.word) == Phase::Opening;
    mtu < least || is_early
}
