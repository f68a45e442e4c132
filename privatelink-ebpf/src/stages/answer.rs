//! Notifies the sender of a refused packet: a TCP reset, or an ICMP error.
//!
//! The answer replaces the packet in its frame and leaves by the interface that the packet came
//! from; its source is the packet's destination. The packet is counted as refused all the same.

use crate::{
    environment::{Frame, Tables},
    stages::{
        chain::Chained,
        packet::Packet,
        sender::is_group,
        sum,
        verdict::{Refused, Verdict},
    },
    wire::{
        ETHERNET_LEN, Ethernet, Fresh, Head, Icmp, Tcp, Transport, Udp, checksum, swapped,
        tcp_flags,
    },
};
use privatelink_common::{Notice, Reason, Refusal, Scratch, Stage, TCP};

/// Passes a refusal whose sender is notified on to the stage that answers; other verdicts stand.
///
/// Out of line, and by reference, for the reason of [`vlan::leave`](super::vlan::leave).
#[inline(never)]
pub fn or_answer(verdict: &mut Verdict, scratch: &Scratch) {
    let Verdict::Drop(Refused { reason, endpoint }) = *verdict else { return };
    if reason.notice().is_sent() {
        scratch.reason.store(reason as u32);
        scratch.endpoint.store(endpoint.unwrap_or(Scratch::NO_ENDPOINT));
        *verdict = Verdict::Next(Stage::Answer);
    }
}

/// Type and code of the ICMP error.
#[inline(always)]
const fn message<I: Fresh>(notice: Notice) -> (u8, u8) {
    match notice {
        Notice::TimeExceeded => I::TIME_EXCEEDED,
        Notice::TooBig => I::TOO_BIG,
        Notice::PortUnreachable => I::PORT_UNREACHABLE,
        Notice::HostUnreachable => I::HOST_UNREACHABLE,
        Notice::Prohibited | Notice::Declined | Notice::Silent => I::PROHIBITED,
    }
}

/// Type and code as [`Scratch::message`] has them.
#[inline(always)]
const fn packed((kind, code): (u8, u8)) -> u32 {
    u32::from_be_bytes([0, 0, kind, code])
}

/// The stage that turns a refused packet into its answer, if it may have one.
#[inline(never)]
pub fn answer<F: Frame, T: Tables, I: Fresh + Chained>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Verdict {
    let reason = Reason::of(scratch.reason.load()).unwrap_or(Reason::Internal);
    let index = scratch.endpoint.load();
    let endpoint = (index != Scratch::NO_ENDPOINT).then_some(index);
    let refused = Refused { reason, endpoint };
    if is_declined(tables, reason, index) {
        return Verdict::Drop(refused);
    }
    // The verifier takes a number that is read back from a map for any number, and so does not
    // follow each reason separately to the end.
    scratch.message.store(packed(message::<I>(reason.notice())));
    if answer_ip::<F, T, I>(frame, tables, scratch).is_none() {
        return Verdict::Drop(refused);
    }
    if index != Scratch::NO_ENDPOINT {
        tables.count_endpoint(index, |count| count.answers += 1);
    }
    Verdict::Reply { refused, ifindex: frame.ingress() }
}

/// Whether the provider has declared that packets of this connection get no answer.
#[inline(always)]
fn is_declined<T: Tables>(tables: &T, reason: Reason, endpoint: u32) -> bool {
    reason.notice() == Notice::Declined
        && tables
            .endpoint(endpoint)
            .is_some_and(|endpoint| endpoint.refusal == Refusal::Drop as u32)
}

#[inline(never)]
fn answer_ip<F: Frame, T: Tables, I: Fresh + Chained>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Option<()> {
    let read = Packet::<I>::read_slowly(frame, tables, scratch.network.load());
    let packet = match &read {
        Ok(packet) => packet,
        Err(_) => return None,
    };
    let ethernet = frame.view::<Ethernet>(0)?;
    let (from, to) = (ethernet.from(), ethernet.to());
    // RFC 1122, section 3.2.2: a packet that was not sent by one host to one host is not answered.
    // Nor is a fragment that is not the first, which has no ports.
    let is_later = packet.fragment.is_later();
    if is_later || is_group(from) || is_group(to) || !I::is_host(packet.arrival.source) {
        return None;
    }
    // A reset would end the flow, which can go on by another path or with smaller packets.
    let message = scratch.message.load();
    let needs_icmp = message == packed(I::TIME_EXCEEDED) || message == packed(I::TOO_BIG);
    if packet.arrival.protocol == u32::from(TCP) && !needs_icmp {
        return reset::<F, I>(frame, packet);
    }
    if !tables.may_complain(scratch.network.load()) {
        return None;
    }
    complain::<F, T, I>(frame, tables, packet, scratch)
}

/// Turns a TCP packet into the reset that its sender accepts (RFC 9293, section 3.10.7.1).
#[inline(always)]
fn reset<F: Frame, I: Fresh>(frame: &mut F, packet: &Packet<I>) -> Option<()> {
    const LEN: u32 = size_of::<Tcp>() as u32;
    if packet.flags & tcp_flags::RST != 0 {
        return None;
    }
    // The new header stands where the old one does, if the kernel is to complete its checksum: an
    // answer without options to a packet with some would be cut too short for that.
    let is_unfinished = frame.is_unfinished::<Tcp>(packet.transport());
    let refused = frame.view::<Tcp>(packet.transport())?;
    let (sequence, acknowledgment, flags) = if packet.flags & tcp_flags::ACK != 0 {
        (refused.acknowledgment(), 0, tcp_flags::RST)
    } else {
        let header = u32::from(u16::from_be(refused.offset_flags())) >> 12 << 2;
        let before = (packet.transport() - ETHERNET_LEN) as u32 + header;
        let marks = (packet.flags & tcp_flags::SYN) / tcp_flags::SYN
            + (packet.flags & tcp_flags::FIN) / tcp_flags::FIN;
        let length = packet.length.wrapping_sub(before).wrapping_add(marks);
        let next = u32::from_be(refused.sequence()).wrapping_add(length);
        (0, next.to_be(), tcp_flags::RST | tcp_flags::ACK)
    };
    frame.resize(size_of::<Head<I, Tcp>>())?;
    let head = frame.view::<Head<I, Tcp>>(0)?;
    let (from, to) = (head.ethernet.from(), head.ethernet.to());
    head.ethernet.readdress(to, from);
    let (source, destination) = (packet.arrival.destination, packet.arrival.source);
    head.ip.compose(source, destination, TCP, LEN);

    let tcp = &mut head.transport;
    let ports = swapped(packet.arrival.ports);
    let offset_flags = ((LEN << 10 | flags) as u16).to_be();
    tcp.set_ports(ports);
    tcp.set_sequence(sequence);
    tcp.set_acknowledgment(acknowledgment);
    tcp.set_offset_flags(offset_flags);
    tcp.set_window(0);
    tcp.set_urgent(0);
    let halves = |word: u32| (word & 0xffff) + (word >> 16);
    let pseudo = I::pseudo_sum(source, destination, TCP, LEN);
    let sum = pseudo
        + halves(ports)
        + halves(sequence)
        + halves(acknowledgment)
        + u32::from(offset_flags);
    tcp.set_check(if is_unfinished { checksum::fold(pseudo) } else { !checksum::fold(sum) });
    Some(())
}

/// Turns a packet into the ICMP error about it.
#[inline(always)]
fn complain<F: Frame, T: Tables, I: Fresh>(
    frame: &mut F,
    tables: &T,
    packet: &Packet<I>,
    scratch: &Scratch,
) -> Option<()> {
    const ICMP: usize = size_of::<Icmp>();
    let unfinished = unfinished(frame, packet);
    let quote = if packet.length < I::QUOTE { packet.length } else { I::QUOTE };
    frame.resize(ETHERNET_LEN + quote as usize)?;
    let ethernet = frame.view::<Ethernet>(0)?;
    let (from, to) = (ethernet.from(), ethernet.to());
    frame.shift(-((I::LEN + ICMP) as i32))?;
    let ethernet = frame.view::<Ethernet>(0)?;
    ethernet.readdress(to, from);
    ethernet.set_ethertype(I::ETHERTYPE);
    let (source, destination) = (packet.arrival.destination, packet.arrival.source);
    let length = quote + ICMP as u32;
    frame.view::<I>(ETHERNET_LEN)?.compose(source, destination, I::ICMP, length);
    let message = frame.view::<Icmp>(ETHERNET_LEN + I::LEN)?;
    let packed_message = scratch.message.load();
    [_, _, message.kind, message.code] = packed_message.to_be_bytes();
    message.set_check(0);
    message.set_rest(if packed_message == packed(I::TOO_BIG) {
        scratch.mtu.load().to_be()
    } else {
        0
    });
    // Whatever the kernel puts into a checksum that it completes, the transport then sums to the
    // complement of what stood there.
    let summed = if unfinished == WHOLE {
        length
    } else {
        (packet.transport() - ETHERNET_LEN + ICMP) as u32
    };
    let sum = sum::over(frame, tables, ETHERNET_LEN + I::LEN, summed)?;
    let sum = sum + I::control_sum(source, destination, length) + (!unfinished & 0xffff);
    frame.view::<Icmp>(ETHERNET_LEN + I::LEN)?.set_check(!checksum::fold(sum));
    Some(())
}

/// The checksum of a transport that the kernel need not complete.
const WHOLE: u32 = u32::MAX;

/// What stands in a packet's checksum if the kernel has yet to complete it, or [`WHOLE`].
#[inline(always)]
fn unfinished<F: Frame, I: Fresh>(frame: &mut F, packet: &Packet<I>) -> u32 {
    let at = packet.transport();
    let check = if packet.arrival.protocol == u32::from(TCP) {
        check_of::<F, Tcp>(frame, at)
    } else {
        check_of::<F, Udp>(frame, at)
    };
    check.unwrap_or(WHOLE)
}

#[inline(always)]
fn check_of<F: Frame, L: Transport>(frame: &mut F, at: usize) -> Option<u32> {
    if !frame.is_unfinished::<L>(at) {
        return None;
    }
    let bytes = frame.view::<[u8; 2]>(at + L::CHECK)?;
    Some(u16::from_ne_bytes(*bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Ipv4, Ipv6};

    #[test]
    fn the_page_shows_the_types_and_codes_that_are_sent() {
        for notice in Notice::ALL.iter().copied().filter(|notice| notice.is_sent()) {
            let (v4, v6) = (message::<Ipv4>(notice), message::<Ipv6>(notice));
            let numbers = format!("{}/{}, {}/{}", v4.0, v4.1, v6.0, v6.1);
            let shown = [notice.over_tcp(), notice.over_udp()];
            assert!(shown.iter().any(|text| text.contains(&numbers)), "{notice:?}: {numbers}");
        }
    }
}
