//! Which reports of a path's MTU are believed.
//!
//! A host keeps the MTU of a path by the address at its far end. For a target that is the source
//! address, which all consumers of the service share: what one of them reports, or forges, the
//! target believes of all. So a report of less than [`LEAST`] does not reach a target. The gateway
//! notes such reports of IPv4 clients itself, and lowers the largest segment of the endpoint's next
//! connections.

use crate::{
    environment::{Frame, Tables},
    flows::table::Leg,
    stages::egress::max_input_len,
    wire::{ETHERNET_LEN, Fresh, Icmp, Ip as _, Ipv4, Tcp, Transport as _, checksum},
};
use privatelink_common::{
    flow::{Phase, word},
    path::Path,
};

/// The least MTU that a target is told of, and anyone over IPv6: every link has it there.
const LEAST: u32 = 1280;
/// The least MTU that an IPv4 client is told of: every host accepts as much (RFC 791).
const LEAST_V4: u32 = 576;

/// Whether a message is a report of an MTU that must not go on; `leg` is that of packets in answer
/// to the one that it quotes. What it says of a path to clients is noted: [`known`].
#[inline(never)]
pub fn is_refused<F: Frame, T: Tables, I: Fresh>(frame: &mut F, tables: &T, leg: &Leg<'_>) -> bool {
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
    if is_v4 && !leg.is_reverse() && !is_early && (LEAST_V4..LEAST).contains(&mtu) {
        note(tables, leg.slot.endpoint(), mtu);
    }
    mtu < least || is_early
}

/// Lowers the MTU that an error reports to what the gateway's own links carry: those that the quoted
/// packet came by, and would have left by. `index` is the slot of packets in answer to that.
#[inline(never)]
pub fn lower<F: Frame, T: Tables, I: Fresh>(frame: &mut F, tables: &T, index: u32) {
    let Some(message) = frame.view::<Icmp>(ETHERNET_LEN + I::LEN) else { return };
    if (message.kind, message.code) != I::TOO_BIG {
        return;
    }
    let Some(leg) = Leg::at(tables, index) else { return };
    let (endpoint, target) = (leg.endpoint.largest(), leg.target.largest());
    let (here, there) = if leg.is_reverse() { (target, endpoint) } else { (endpoint, target) };
    let there = max_input_len::<I>(leg.word & word::LEAVES_V6, there);
    let most = if here < there { here } else { there };
    let rest = u32::from_be(message.rest());
    let mtu = if I::LEAVES == Ipv4::LEAVES { rest & 0xffff } else { rest };
    if mtu <= most {
        return;
    }
    let (before, after) = (message.rest(), (rest - mtu + most).to_be());
    message.set_rest(after);
    let change = checksum::difference(Ipv4::sum(before), Ipv4::sum(after));
    message.set_check(checksum::apply(message.check(), change));
}

/// Notes an MTU of which targets are not told.
#[inline(always)]
fn note<T: Tables>(tables: &T, endpoint: u32, mtu: u32) {
    if let Some(cell) = tables.path(endpoint) {
        // Of two reports at the same time one is lost; it comes again.
        cell.store(Path(cell.load()).reported(mtu, tables.now()).0);
    }
}

/// The largest packet that the paths to an endpoint's clients carry, as far as it is known from
/// them, for packets that leave there as IPv4. What one consumer's hosts report, or forge, concerns
/// that consumer's new connections only.
#[inline(always)]
pub fn known<T: Tables>(tables: &T, endpoint: u32) -> u32 {
    let path = tables.path(endpoint).and_then(|cell| Path(cell.load()).mtu(tables.now()));
    path.unwrap_or(u32::MAX)
}
