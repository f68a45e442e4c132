//! Answers for the gateway's own addresses: ARP and neighbour discovery.

use crate::{
    environment::{Frame, Tables, Walk},
    stages::{
        sum::{self, Soundness},
        verdict::Verdict,
    },
    wire::{
        Arp, Control, ETHERNET_LEN, Ethernet, Icmp, Ip, Ipv6, NeighbourMessage, NeighbourOption,
        checksum,
    },
};
use privatelink_common::{Addr, LocalKey, LocalKind, Mac, Reason, Stage, flow::split_mac};

/// Answers an ARP request for one of the gateway's addresses; other ARP is left to the host.
#[inline(never)]
pub fn answer_arp<F: Frame, T: Tables>(frame: &mut F, tables: &T, network: u32) -> Verdict {
    let Some(arp) = frame.view::<Arp>(ETHERNET_LEN) else { return Verdict::NOT_OURS };
    let Some(address) = arp.asks_for() else { return Verdict::NOT_OURS };
    // An announcement asks for nothing.
    if arp.sender() == address {
        return Verdict::NOT_OURS;
    }
    let key = LocalKey { network, address: Addr::from_v4_word(address) };
    let Some(local) = tables.local(&key) else { return Verdict::NOT_OURS };
    if !local.is_served() || !is_put_to(frame, local.mac) {
        return Verdict::NOT_OURS;
    }
    if arp_answer(frame, local.mac).is_none() {
        return Verdict::NOT_OURS;
    }
    Verdict::Send { ifindex: frame.ingress() }
}

/// Turns an ARP request into its answer.
#[inline(always)]
pub fn arp_answer<F: Frame>(frame: &mut F, mac: Mac) -> Option<()> {
    frame.view::<Arp>(ETHERNET_LEN)?.answer(mac);
    frame.view::<Ethernet>(0)?.turn_back(mac);
    Some(())
}

/// Decides about a packet that belongs to no flow: one to answer, to refuse, or to leave to the
/// host.
#[inline(never)]
pub fn other<F: Frame, T: Tables, I: Control>(
    frame: &mut F,
    tables: &T,
    network: u32,
    reason: Reason,
) -> Verdict {
    let Some(header) = frame.view::<I>(ETHERNET_LEN) else { return Verdict::NOT_OURS };
    let destination = header.receiver();
    let speaks_icmp = reason == Reason::Protocol && header.follows() == I::ICMP;
    let key = LocalKey { network, address: I::to_addr(destination) };
    let Some(local) = tables.local(&key) else { return Verdict::NOT_OURS };
    if !local.is_served() {
        return Verdict::NOT_OURS;
    }
    match frame.view::<Ethernet>(0) {
        Some(ethernet) if ethernet.to() == split_mac(local.mac) => {}
        _ => return Verdict::NOT_OURS,
    }
    if speaks_icmp { Verdict::Next(Stage::Icmp) } else { Verdict::drop_for(reason, &local) }
}

/// Whether a request is addressed to `mac`, or to a group that may include it.
#[inline(always)]
pub fn is_put_to<F: Frame>(frame: &mut F, mac: Mac) -> bool {
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return false };
    let [first, _] = ethernet.to().0.to_ne_bytes();
    first & 1 != 0 || ethernet.to() == split_mac(mac)
}

/// Length of an advertisement with its option.
const ADVERTISEMENT_LEN: usize = size_of::<NeighbourMessage>() + size_of::<NeighbourOption>();
const MESSAGE: usize = ETHERNET_LEN + Ipv6::LEN;
/// RFC 4861 requires this hop limit, which shows that no router has forwarded the packet.
pub const HOP_LIMIT: u8 = 255;
pub const ALL_NODES: [u32; 4] = [0xff02_0000_u32.to_be(), 0, 0, 1_u32.to_be()];
pub const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];

/// Whether a packet asks for the Ethernet address of an IPv6 address.
#[inline(always)]
pub fn is_solicitation<F: Frame>(frame: &mut F) -> bool {
    let Some(header) = frame.view::<Ipv6>(ETHERNET_LEN) else { return false };
    if header.follows() != Ipv6::ICMPV6 || header.ttl() != HOP_LIMIT {
        return false;
    }
    let message = frame.view::<Icmp>(ETHERNET_LEN + Ipv6::LEN);
    message.is_some_and(|message| message.kind == NeighbourMessage::SOLICITATION)
}

/// Turns a solicitation for one of the gateway's addresses into its answer; `None` if the packet is
/// not one. The addresses are those that the gateway serves, or those of its host.
#[inline(never)]
pub fn answer_solicitation<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    network: u32,
    served: bool,
) -> Option<()> {
    let header = frame.view::<Ipv6>(ETHERNET_LEN)?;
    let hop_limit = header.hop_limit;
    let datagram = header.datagram().ok()?;
    let (asker, length) = (datagram.source, datagram.length as usize);
    if datagram.protocol != u32::from(Ipv6::ICMPV6)
        || length < Ipv6::LEN + size_of::<NeighbourMessage>()
        || !frame.holds(ETHERNET_LEN + length)
    {
        return None;
    }
    let message = frame.view::<NeighbourMessage>(MESSAGE)?;
    if message.kind != NeighbourMessage::SOLICITATION || message.code != 0 {
        return None;
    }
    let target = message.target();
    if Ipv6::is_v4_mapped(target) {
        return None;
    }
    let key = LocalKey { network, address: Addr::from_words(target) };
    let local = tables.local(&key)?;
    let wanted = if served { local.is_served() } else { local.kind == LocalKind::Host as u32 };
    if !wanted || hop_limit != HOP_LIMIT || !is_put_to(frame, local.mac) || !is_valid(frame, tables)
    {
        return None;
    }
    frame.resize(MESSAGE + ADVERTISEMENT_LEN)?;

    // A host that tests whether the address is free (RFC 4862) has no address yet: the answer goes
    // to all nodes.
    let testing = asker == [0; 4];
    let to = if testing { ALL_NODES } else { asker };
    let header = frame.view::<Ipv6>(ETHERNET_LEN)?;
    header.set_source(target);
    header.set_destination(to);
    header.hop_limit = HOP_LIMIT;
    header.set_payload_length((ADVERTISEMENT_LEN as u16).to_be());

    let flags = NeighbourMessage::OVERRIDE | if testing { 0 } else { NeighbourMessage::SOLICITED };
    let message = frame.view::<NeighbourMessage>(MESSAGE)?;
    message.kind = NeighbourMessage::ADVERTISEMENT;
    message.code = 0;
    message.flags = [flags, 0, 0, 0];
    message.set_check(advertisement_checksum(target, to, flags, local.mac));
    let option = frame.view::<NeighbourOption>(MESSAGE + size_of::<NeighbourMessage>())?;
    option.kind = NeighbourOption::TARGET;
    option.length = 1;
    let (high, low) = split_mac(local.mac);
    option.set_mac_high(high);
    option.set_mac_low(low);

    let ethernet = frame.view::<Ethernet>(0)?;
    ethernet.turn_back(local.mac);
    if testing {
        ethernet.readdress(split_mac(local.mac), split_mac(ALL_NODES_MAC));
    }
    Some(())
}

/// The most options of a solicitation that are looked at; there are five with SEND (RFC 3971).
const MOST_OPTIONS: u32 = 8;
/// Where the last of them may begin.
const MAX_OFFSET: u32 = 0x7ff;

/// Whether a solicitation is one that a node must not discard (RFC 4861, section 7.1.1); what it
/// is for, its length and its hop limit have been looked at.
#[inline(never)]
fn is_valid<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> bool {
    if sum::soundness::<F, T, Ipv6>(frame, tables) != Soundness::Sound {
        return false;
    }
    let Some(header) = frame.view::<Ipv6>(ETHERNET_LEN) else { return false };
    let (source, destination) = (header.source(), header.receiver());
    let end = header.claims().length + ETHERNET_LEN as u32;
    let Some(message) = frame.view::<NeighbourMessage>(MESSAGE) else { return false };
    let [_, _, _, low] = message.target();
    let at = (MESSAGE + size_of::<NeighbourMessage>()) as u32;
    let mut options = Options { frame, at, end, names_sender: false };
    tables.walk(MOST_OPTIONS, &mut options);
    let Options { at, names_sender, .. } = options;
    let group = [0xff02_0000_u32.to_be(), 0, 1_u32.to_be(), low | 0xff00_0000_u32.to_be()];
    let is_test = source == [0; 4];
    at == end && !(is_test && (names_sender || destination != group))
}

/// Looks at each option of a solicitation; stops at one that is malformed.
struct Options<'f, F: Frame> {
    frame: &'f mut F,
    at: u32,
    end: u32,
    names_sender: bool,
}

impl<F: Frame, T: Tables> Walk<T> for Options<'_, F> {
    #[inline(always)]
    fn step(&mut self, _tables: &T, _number: u32) -> bool {
        let at = self.at;
        if at >= self.end || at > MAX_OFFSET {
            return true;
        }
        let Some(option) = self.frame.view::<[u8; 2]>(at as usize) else { return true };
        let [kind, units] = *option;
        if units == 0 {
            return true;
        }
        if kind == NeighbourOption::SOURCE {
            self.names_sender = true;
        }
        self.at = at + u32::from(units) * 8;
        false
    }
}

/// The checksum of an advertisement for `target` to `to`, pseudo header included.
fn advertisement_checksum(target: [u32; 4], to: [u32; 4], flags: u8, mac: Mac) -> u16 {
    let word = |a: u8, b: u8| u32::from(u16::from_ne_bytes([a, b]));
    let [a, b, c, d, e, f] = mac;
    // The target counts twice: as the sender in the pseudo header, and in the message.
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
