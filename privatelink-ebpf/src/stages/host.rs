//! What reaches the host's own stack from an attached network.
//!
//! Whatever gets there may be forwarded by it, or answered by its routes into another network,
//! whoever the sender claims to be. So it gets nothing but what the gateway itself needs there, of
//! senders that are in the network, and what can be answered here is answered here: the answer then
//! leaves by the interface of the packet, whatever the host's routes and settings are.

use crate::{
    environment::{Frame, Socket, Tables},
    stages::{
        icmp, neighbour, sender,
        sum::{self, Soundness},
        verdict::Verdict,
    },
    wire::{
        Arp, Control, Datagram, ETHERNET_LEN, EtherType, Ethernet, Extension, Fresh, Icmp, Ip as _,
        Ipv4, Ipv6, MacWords, NeighbourMessage, Tcp, Transport as _, Udp,
    },
};
use privatelink_common::{
    Addr, LocalKey, LocalKind, Reason, Scratch,
    flow::{join_mac, split_mac},
    host,
};

/// The port of names.
const NAMES: u16 = 53_u16.to_be();

/// The stage for what is none of the gateway's.
#[inline(never)]
pub fn host<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &Scratch) -> Verdict {
    let network = scratch.network.load();
    if tables.host(network) & host::ALL != 0 {
        return Verdict::Pass;
    }
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::drop(Reason::Malformed) };
    match ethernet.ethertype() {
        EtherType::ARP => arp(frame, tables, network),
        EtherType::IPV4 => ip::<F, T, Ipv4>(frame, tables, scratch),
        EtherType::IPV6 if neighbour::is_solicitation(frame) => {
            solicitation(frame, tables, network)
        }
        EtherType::IPV6 => ip::<F, T, Ipv6>(frame, tables, scratch),
        _ => Verdict::drop(Reason::Host),
    }
}

/// Requests for the host's addresses are answered; it gets the answers to its own, which it does
/// nothing with but note them, and the news that a neighbour has another Ethernet address.
#[inline(never)]
fn arp<F: Frame, T: Tables>(frame: &mut F, tables: &T, network: u32) -> Verdict {
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::drop(Reason::Malformed) };
    let to = ethernet.to();
    let Some(arp) = frame.view::<Arp>(ETHERNET_LEN) else { return Verdict::drop(Reason::Host) };
    let (asks, answers) = (arp.asks_for().is_some(), arp.answers());
    let (asker, about, sender) = (arp.sender(), arp.target(), arp.sender_mac());
    if !asks && !answers {
        return Verdict::drop(Reason::Host);
    }
    // Not a request for another address: the kernel would answer it, and note who asks.
    if (answers || asker == about)
        && claims_ours(tables, network, Addr::from_v4_word(asker), sender)
    {
        return Verdict::Pass;
    }
    let own = own::<T, Ipv4>(tables, network, about);
    // Without an address of its own there, the kernel asks under another, or under none.
    let is_answer = answers && to == interface(tables, network);
    let announces = asker == about && own == NOBODY;
    if !is_answer && !announces && (answers || own == NOBODY) {
        return Verdict::drop(Reason::Host);
    }
    // A host that tests whether the address is free (RFC 5227) has no address yet.
    let is_test = asks && asker == 0 && !announces;
    // The kernel notes the Ethernet address in the message, not that of the frame.
    if sender::is_group(sender) || !is_test && !sender::is_in::<T, Ipv4>(tables, network, asker) {
        return Verdict::drop(Reason::Sender);
    }
    if is_answer || announces {
        return Verdict::Pass;
    }
    let mac = join_mac(own.0, own.1);
    if !neighbour::is_put_to(frame, mac) {
        return Verdict::drop(Reason::Host);
    }
    match neighbour::arp_answer(frame, mac) {
        Some(()) => Verdict::Send { ifindex: frame.ingress() },
        None => Verdict::drop(Reason::Malformed),
    }
}

#[inline(never)]
fn ip<F: Frame, T: Tables, I: Fresh>(frame: &mut F, tables: &T, scratch: &Scratch) -> Verdict {
    let network = scratch.network.load();
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::drop(Reason::Malformed) };
    let to = ethernet.to();
    let Some(header) = frame.view::<I>(ETHERNET_LEN) else {
        return Verdict::drop(Reason::Malformed);
    };
    let hops = header.ttl();
    // The host gets no fragments, no options and no extension headers: what it is waiting for has
    // none, but for queries of MLD.
    let datagram = match &header.datagram() {
        Ok(datagram) => *datagram,
        Err(_) if I::ARRIVES == Ipv6::ARRIVES && asks_for_listeners(frame, tables, network) => {
            return Verdict::Pass;
        }
        Err(_) => return Verdict::drop(Reason::Host),
    };
    let length = datagram.length as usize;
    if length < I::LEN + size_of::<Icmp>() || !frame.holds(ETHERNET_LEN + length) {
        return Verdict::drop(Reason::Malformed);
    }
    let own = own::<T, I>(tables, network, datagram.destination);
    let own = if to == own { own } else { NOBODY };
    if I::ARRIVES == Ipv6::ARRIVES
        && datagram.protocol == u32::from(I::ICMP)
        && hops == neighbour::HOP_LIMIT
    {
        let Some(message) = frame.view::<Icmp>(ETHERNET_LEN + I::LEN) else {
            return Verdict::drop(Reason::Malformed);
        };
        let kind = message.kind;
        if kind == NeighbourMessage::ADVERTISEMENT {
            let is_put_to_all = to == split_mac(neighbour::ALL_NODES_MAC);
            let is_expected = own != NOBODY || is_put_to_all;
            return advertisement::<F, T, I>(frame, tables, network, &datagram, is_expected);
        }
    }
    if own == NOBODY {
        return Verdict::drop(Reason::Host);
    }
    if !sender::is_in::<T, I>(tables, network, datagram.source) {
        return Verdict::drop(Reason::Sender);
    }
    if datagram.protocol == u32::from(I::ICMP) {
        return ping::<F, T, I>(frame, tables, own);
    }
    if datagram.protocol != Tcp::PROTOCOL && datagram.protocol != Udp::PROTOCOL {
        return Verdict::drop(Reason::Host);
    }
    if is_awaited::<F, T, I>(frame, tables, scratch, &datagram) {
        Verdict::Pass
    } else {
        Verdict::drop(Reason::Host)
    }
}

/// Whether a host says that an address of the gateway is its own, as often as a network may say
/// so. The daemon looks at such frames; the kernel does nothing about them.
#[inline(never)]
fn claims_ours<T: Tables>(tables: &T, network: u32, address: Addr, sender: MacWords) -> bool {
    let key = LocalKey { network, address };
    let Some(local) = tables.local(&key) else { return false };
    local.is_served()
        && split_mac(local.mac) != sender
        && !sender::is_group(sender)
        && tables.may_complain(network)
}

/// The Ethernet address for an address that is not the host's.
///
/// Instead of an `Option`, whose content would not be written, and which the verifier would refuse
/// to see copied.
const NOBODY: MacWords = (0, 0);

/// The Ethernet address for one of the host's own addresses, or [`NOBODY`].
#[inline(always)]
fn own<T: Tables, I: Control>(tables: &T, network: u32, address: I::Address) -> MacWords {
    if sender::is_mapped::<I>(address) || !I::is_host(address) {
        return NOBODY;
    }
    let key = LocalKey { network, address: I::to_addr(address) };
    host_mac(tables, &key)
}

/// The Ethernet address of the host's interface: under `0.0.0.0`, whatever addresses it has.
#[inline(always)]
fn interface<T: Tables>(tables: &T, network: u32) -> MacWords {
    host_mac(tables, &LocalKey { network, address: Addr::from_v4_word(0) })
}

#[inline(always)]
fn host_mac<T: Tables>(tables: &T, key: &LocalKey) -> MacWords {
    match tables.local(key) {
        Some(local) if local.kind == LocalKind::Host as u32 => split_mac(local.mac),
        _ => NOBODY,
    }
}

/// Answers who asks for the host.
///
/// Apart from [`ip`], because a whole chain of calls has 512 bytes of stack.
#[inline(never)]
fn solicitation<F: Frame, T: Tables>(frame: &mut F, tables: &T, network: u32) -> Verdict {
    let Some(header) = frame.view::<Ipv6>(ETHERNET_LEN) else {
        return Verdict::drop(Reason::Malformed);
    };
    let source = header.source();
    // A host that tests whether the address is free has no address yet.
    let is_test = source == [0; 4];
    if !is_test && !sender::is_in::<T, Ipv6>(tables, network, source) {
        return Verdict::drop(Reason::Sender);
    }
    match neighbour::answer_solicitation(frame, tables, network, false) {
        Some(()) => Verdict::Send { ifindex: frame.ingress() },
        None => Verdict::drop(Reason::Host),
    }
}

/// The host gets answers to its own solicitations, and the news that a neighbour has another
/// Ethernet address; `is_expected` if the frame is for the host's Ethernet address or that of all.
#[inline(never)]
fn advertisement<F: Frame, T: Tables, I: Control>(
    frame: &mut F,
    tables: &T,
    network: u32,
    datagram: &Datagram<I>,
    is_expected: bool,
) -> Verdict {
    let Some(ethernet) = frame.view::<Ethernet>(0) else { return Verdict::drop(Reason::Malformed) };
    let sender = ethernet.from();
    let Some(message) = frame.view::<NeighbourMessage>(ETHERNET_LEN + I::LEN) else {
        return Verdict::drop(Reason::Malformed);
    };
    if claims_ours(tables, network, Addr::from_words(message.target()), sender) {
        return Verdict::Pass;
    }
    let destination = I::to_addr(datagram.destination).words();
    let is_ours = destination == neighbour::ALL_NODES
        || self::own::<T, I>(tables, network, datagram.destination) != NOBODY;
    if !is_expected || !is_ours {
        Verdict::drop(Reason::Host)
    } else if sender::is_in::<T, I>(tables, network, datagram.source) {
        Verdict::Pass
    } else {
        Verdict::drop(Reason::Sender)
    }
}

/// Whether a packet asks which groups have listeners (RFC 3810, section 5.1): the kernel reports
/// those of the gateway's addresses, with or without a daemon.
#[inline(never)]
fn asks_for_listeners<F: Frame, T: Tables>(frame: &mut F, tables: &T, network: u32) -> bool {
    const OPTIONS: usize = ETHERNET_LEN + Ipv6::LEN;
    const ONE_HOP: u8 = 1;
    let Some(header) = frame.view::<Ipv6>(ETHERNET_LEN) else { return false };
    let (source, destination) = (header.source(), header.receiver());
    if u32::from(header.follows()) != Extension::HOP_BY_HOP
        || header.ttl() != ONE_HOP
        || !Ipv6::is_link_local(source)
        || !Ipv6::is_group(destination)
        || !sender::is_in::<T, Ipv6>(tables, network, source)
    {
        return false;
    }
    let Some(options) = frame.view::<Extension>(OPTIONS) else { return false };
    if options.next != Ipv6::ICMPV6 || options.length() as usize != size_of::<Extension>() {
        return false;
    }
    frame.view::<Icmp>(OPTIONS + size_of::<Extension>()).is_some_and(|it| it.kind == LISTENER_QUERY)
}

/// Type of a query of MLD.
const LISTENER_QUERY: u8 = 130;

#[inline(never)]
fn ping<F: Frame, T: Tables, I: Fresh>(frame: &mut F, tables: &T, own: MacWords) -> Verdict {
    match frame.view::<Icmp>(ETHERNET_LEN + I::LEN) {
        Some(message) if message.kind == I::ECHO_REQUEST && message.code == 0 => {}
        _ => return Verdict::drop(Reason::Host),
    }
    if sum::verify::<F, T, I>(frame, tables) == Soundness::Wrong {
        return Verdict::drop(Reason::BadChecksum);
    }
    match icmp::echo_answer::<F, I>(frame, join_mac(own.0, own.1)) {
        Some(()) => Verdict::Send { ifindex: frame.ingress() },
        None => Verdict::drop(Reason::Malformed),
    }
}

/// Whether a socket of the host waits for the packet: one that talks to this sender, or one for
/// names.
#[inline(never)]
fn is_awaited<F: Frame, T: Tables, I: Control>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
    datagram: &Datagram<I>,
) -> bool {
    let Some(head) = frame.view::<Udp>(ETHERNET_LEN + I::LEN) else { return false };
    let ports = head.ports();
    let [_, _, high, low] = ports.to_ne_bytes();
    let is_query = u16::from_ne_bytes([high, low]) == NAMES
        && tables.host(scratch.network.load()) & host::NAMES != 0;
    if scratch.tag.load() & VLAN == 0 {
        let &Datagram { source, destination, protocol, .. } = datagram;
        return match frame.socket::<I>(source, destination, ports, protocol) {
            Socket::Connected => true,
            Socket::Bound => is_query,
            Socket::None => false,
        };
    }
    // The kernel looks for sockets at the interface that the frame came in on, and those of a VLAN
    // are bound to another. What could not be an answer is refused all the same.
    is_query || may_answer::<F, I>(frame, datagram, u16::from_be_bytes([high, low]))
}

/// The VLAN in [`Scratch::tag`]; a tag of VLAN 0 is none.
const VLAN: u32 = 0xfff;
/// Linux gives sockets that connect no lower ports.
const FIRST_PORT: u16 = 32_768;

/// Whether a packet may be an answer to the host.
#[inline(always)]
fn may_answer<F: Frame, I: Control>(frame: &mut F, datagram: &Datagram<I>, port: u16) -> bool {
    if port < FIRST_PORT {
        return false;
    }
    if datagram.protocol == Udp::PROTOCOL {
        return true;
    }
    let Some(tcp) = frame.view::<Tcp>(ETHERNET_LEN + I::LEN) else { return false };
    let flags = u32::from(u16::from_be(tcp.offset_flags()));
    !super::packet::opens_tcp(flags)
}
