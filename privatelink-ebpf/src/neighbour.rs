//! Answers for the gateway's own addresses: ARP and neighbour discovery.

use crate::{
    checksum,
    frame::Frame,
    tables::Tables,
    verdict::Verdict,
    wire::{Arp, ETHERNET_LEN, Ethernet, Ip, Ipv6, NeighbourMessage, NeighbourOption},
};
use privatelink_common::{Addr, Local, LocalKey, LocalKind, Mac, Reason};

/// Answers an ARP request for one of our addresses; all other ARP is the host's.
#[inline(never)]
pub fn answer_arp<F: Frame, T: Tables>(frame: &mut F, tables: &T, network: u32) -> Verdict {
    let Some(arp) = frame.view::<Arp>(ETHERNET_LEN) else { return Verdict::Pass };
    if arp.kind != Arp::ETHERNET_IPV4 || arp.operation != Arp::REQUEST {
        return Verdict::Pass;
    }
    let key = LocalKey { network, address: Addr::from_v4_word(arp.target.get()) };
    let Some(local) = tables.local(&key) else { return Verdict::Pass };
    arp.answer(local.mac);
    if turn_back(frame, local.mac).is_none() {
        return Verdict::Pass;
    }
    Verdict::Send { ifindex: frame.ingress() }
}

/// A packet that the fast path does not carry: ours to answer, ours to refuse, or the host's.
#[inline(never)]
pub fn other<F: Frame, T: Tables, I: Ip>(
    frame: &mut F,
    tables: &T,
    network: u32,
    reason: Reason,
) -> Verdict {
    let Some(header) = frame.view::<I>(ETHERNET_LEN) else { return Verdict::Pass };
    let destination = header.destination();
    if I::ARRIVES == Ipv6::ARRIVES && answer_solicitation(frame, tables, network).is_some() {
        return Verdict::Send { ifindex: frame.ingress() };
    }
    let key = LocalKey { network, address: I::to_addr(destination) };
    match tables.local(&key) {
        Some(local) => refuse(local, reason),
        None => Verdict::Pass,
    }
}

fn refuse(local: Local, reason: Reason) -> Verdict {
    if local.kind == LocalKind::Endpoint as u32 {
        Verdict::drop_at(reason, local.index)
    } else {
        Verdict::drop(reason)
    }
}

/// Length of an advertisement with its option.
const ADVERTISEMENT_LEN: usize = size_of::<NeighbourMessage>() + size_of::<NeighbourOption>();
const MESSAGE: usize = ETHERNET_LEN + Ipv6::LEN;
/// What RFC 4861 wants to see: a packet that no router has touched.
const HOP_LIMIT: u8 = 255;
const ALL_NODES: [u32; 4] = [0xff02_0000_u32.to_be(), 0, 0, 1_u32.to_be()];
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];

/// Turns a solicitation for one of our addresses into the answer; `None` if it is not one.
#[inline(never)]
fn answer_solicitation<F: Frame, T: Tables>(frame: &mut F, tables: &T, network: u32) -> Option<()> {
    let header = frame.view::<Ipv6>(ETHERNET_LEN)?;
    if header.next_header != Ipv6::ICMPV6 {
        return None;
    }
    let asker = header.source();
    let hop_limit = header.hop_limit;
    let message = frame.view::<NeighbourMessage>(MESSAGE)?;
    if message.kind != NeighbourMessage::SOLICITATION || message.code != 0 {
        return None;
    }
    let target = message.target();
    let key = LocalKey { network, address: Addr::from_words(target) };
    let local = tables.local(&key)?;
    if hop_limit != HOP_LIMIT {
        return None;
    }
    frame.resize(MESSAGE + ADVERTISEMENT_LEN)?;

    // Somebody who tests whether the address is free has none yet, and is told with everybody.
    let testing = asker == [0; 4];
    let to = if testing { ALL_NODES } else { asker };
    let header = frame.view::<Ipv6>(ETHERNET_LEN)?;
    header.put_addresses(target, to);
    header.hop_limit = HOP_LIMIT;
    header.payload_length.set((ADVERTISEMENT_LEN as u16).to_be());

    let flags = NeighbourMessage::OVERRIDE | if testing { 0 } else { NeighbourMessage::SOLICITED };
    let message = frame.view::<NeighbourMessage>(MESSAGE)?;
    message.kind = NeighbourMessage::ADVERTISEMENT;
    message.code = 0;
    message.flags = [flags, 0, 0, 0];
    message.check.set(advertisement_checksum(target, to, flags, local.mac));
    let option = frame.view::<NeighbourOption>(MESSAGE + size_of::<NeighbourMessage>())?;
    option.kind = NeighbourOption::TARGET;
    option.length = 1;
    option.mac.set(local.mac);

    let ethernet = frame.view::<Ethernet>(0)?;
    if testing {
        ethernet.source.set(ALL_NODES_MAC);
    }
    turn_back(frame, local.mac)
}

/// The checksum of an advertisement for `target` to `to`, pseudo header included.
fn advertisement_checksum(target: [u32; 4], to: [u32; 4], flags: u8, mac: Mac) -> u16 {
    let word = |a: u8, b: u8| u32::from(u16::from_ne_bytes([a, b]));
    let [a, b, c, d, e, f] = mac;
    // The target stands in the pseudo header, as the sender, and in the message.
    let sum = 2 * Ipv6::sum(target)
        + Ipv6::sum(to)
        + word(0, ADVERTISEMENT_LEN as u8)
        + word(0, Ipv6::ICMPV6)
        + word(NeighbourMessage::ADVERTISEMENT, 0)
        + word(flags, 0)
        + word(NeighbourOption::TARGET, 1)
        + word(a, b)
        + word(c, d)
        + word(e, f);
    !checksum::fold(sum)
}

/// Addresses the frame to its sender, from `mac`.
#[inline(always)]
fn turn_back<F: Frame>(frame: &mut F, mac: Mac) -> Option<()> {
    let ethernet = frame.view::<Ethernet>(0)?;
    let to = ethernet.source.words();
    ethernet.destination.set_words(to);
    ethernet.source.set(mac);
    Some(())
}
