//! Translates an ICMP error about a packet of a flow.
//!
//! The quoted packet is one that the gateway forwarded. The error goes to the host that sent it to
//! the gateway, and quotes the packet as that host sent it. Whichever router reports the error, it
//! comes from the address that stands for the far side, so no address of one network is seen in
//! the other. The flow
//! itself is not touched: any sender can forge an error.

use crate::{
    environment::{Frame, Load, Tables},
    flows::{policy, table::Leg},
    stages::{egress::Egress, path_mtu, stop::refused, verdict::Verdict, vlan},
    wire::{
        Control, ETHERNET_LEN, Ethernet, Fresh, Icmp, QuotedTcp, Transport, Udp,
        checksum::{self, TTL_STEP},
    },
};
use privatelink_common::{Reason, Scratch, Stage, flow::word};

/// More than any offset of a quoted transport header; the verifier wants a bound.
pub const OFFSETS: usize = 0xff;

/// The stage for an error whose flow is known.
#[inline(never)]
pub fn icmp_error<F: Frame, T: Tables, I: Fresh>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Verdict {
    let at = scratch.quoted.load();
    let Some(leg) = Leg::at(tables, scratch.slot.load()) else {
        return Verdict::drop(Reason::Internal);
    };
    if leg.word & word::LEAVES_V6 != I::LEAVES {
        return Verdict::Next(Stage::TranslateError);
    }
    let endpoint = leg.slot.endpoint();
    let egress = Egress::<I>::of(&leg);
    let length = match &permit::<F, T, I>(frame, tables, &leg, egress.mtu) {
        Ok(length) => *length,
        Err(reason) => return Verdict::drop_at(*reason, endpoint),
    };
    if path_mtu::is_refused::<F, T, I>(frame, tables, &leg) {
        return Verdict::drop_at(Reason::PathMtu, endpoint);
    }
    let shown = (ETHERNET_LEN as u32 + length).wrapping_sub(at);
    let segment = QuotedSegment { at, shown };
    let Some(gain) = translate_quote::<F, I>(frame, &leg, &egress, &segment) else {
        return Verdict::drop_at(Reason::Malformed, endpoint);
    };
    if readdress::<F, I>(frame, &egress, gain).is_none() {
        return Verdict::drop_at(Reason::Internal, endpoint);
    }
    tables.count_endpoint(endpoint, |count| count.errors += 1);
    // About a packet to the target. A router may have reported it.
    if leg.is_reverse() && says_unreachable::<F, I>(frame) {
        tables.count_target(leg.slot.target(), |count| count.unreachable += 1);
    }
    vlan::leave_by(scratch, egress.vlan);
    Verdict::Send { ifindex: egress.ifindex }
}

/// Whether an error may go on: its length from the IP header on, or why it may not.
#[inline(never)]
pub fn permit<F: Frame, T: Tables, I: Control>(
    frame: &mut F,
    tables: &T,
    leg: &Leg<'_>,
    mtu: u32,
) -> Result<u32, Reason> {
    let header = frame.view::<I>(ETHERNET_LEN).ok_or(Reason::Malformed)?;
    let length = header.datagram()?.length;
    if let Some(reason) = refused(leg) {
        return Err(reason);
    }
    if length > mtu {
        return Err(Reason::TooBig);
    }
    if header.ttl() <= 1 {
        return Err(Reason::TtlExpired);
    }
    if policy::is_metered(leg.endpoint)
        && let Some(reason) =
            policy::refused_packets(tables, leg.slot.endpoint(), Load::one(length))
    {
        return Err(reason);
    }
    Ok(length)
}

/// Whether an error says that its packet's destination is unreachable.
#[inline(always)]
pub fn says_unreachable<F: Frame, I: Control>(frame: &mut F) -> bool {
    let message = frame.view::<Icmp>(ETHERNET_LEN + I::LEN);
    message.is_some_and(|message| I::is_unreachable(message.kind, message.code))
}

/// The quoted transport header.
pub struct QuotedSegment {
    /// Where in the frame it begins.
    pub at: u32,
    /// How many bytes from there are shown.
    pub shown: u32,
}

/// Rewrites the quoted packet to what its sender sent; returns what the message's sum gains by
/// that. If the quote is too short, nothing has been changed.
///
/// The flow's precomputed differences of this direction fit: undoing the rewrite of a packet of the
/// other direction changes sums by the same amounts.
#[inline(never)]
fn translate_quote<F: Frame, I: Control>(
    frame: &mut F,
    leg: &Leg<'_>,
    egress: &Egress<I>,
    segment: &QuotedSegment,
) -> Option<u32> {
    let gain = translate_segment(frame, leg, egress.ports, segment)?;
    let quoted = frame.view::<I>(ETHERNET_LEN + I::LEN + size_of::<Icmp>())?;
    let address_gain = checksum::difference(TTL_STEP.into(), leg.slot.l3_delta().into());
    let header_gain = quoted.requote(egress.destination, egress.source, address_gain);
    Some(gain + u32::from(address_gain) + u32::from(header_gain))
}

/// Rewrites the quoted transport header to what its sender sent; returns what its sum gains.
#[inline(always)]
pub fn translate_segment<F: Frame>(
    frame: &mut F,
    leg: &Leg<'_>,
    egress_ports: u32,
    segment: &QuotedSegment,
) -> Option<u32> {
    let at = segment.at as usize & OFFSETS;
    Some(if leg.protocol() == Udp::PROTOCOL {
        let udp = frame.view::<Udp>(at)?;
        let (ports, check) = (udp.ports(), udp.check());
        udp.rewrite(egress_ports, leg.slot.l4_delta());
        port_gain(ports, egress_ports) + change(check, udp.check())
    } else {
        let check_gain = if segment.shown >= size_of::<QuotedTcp>() as u32 {
            let tcp = frame.view::<QuotedTcp>(at)?;
            let check = tcp.check();
            tcp.set_check(checksum::apply(check, leg.slot.l4_delta()));
            change(check, tcp.check())
        } else {
            0
        };
        let ports = frame.view::<Udp>(at)?;
        let before = ports.ports();
        ports.set_ports(egress_ports);
        port_gain(before, egress_ports) + check_gain
    })
}

/// Addresses the error to the other side; its message's sum has changed by `gain`.
#[inline(never)]
fn readdress<F: Frame, I: Control>(frame: &mut F, egress: &Egress<I>, gain: u32) -> Option<()> {
    let header = frame.view::<I>(ETHERNET_LEN)?;
    let before = header.address_sum();
    let address_gain =
        checksum::difference(before, I::sum(egress.source) + I::sum(egress.destination));
    header.readdress(
        egress.source,
        egress.destination,
        checksum::fold(u32::from(address_gain) + u32::from(TTL_STEP)),
    );
    let message = frame.view::<Icmp>(ETHERNET_LEN + I::LEN)?;
    let gain = checksum::fold(gain + u32::from(I::pseudo_header(address_gain)));
    message.set_check(checksum::apply(message.check(), gain));
    frame.view::<Ethernet>(0)?.readdress(egress.mac, egress.hop);
    Some(())
}

/// What a sum gains when a word of it changes.
#[inline(always)]
fn change(before: u16, after: u16) -> u32 {
    checksum::difference(before.into(), after.into()).into()
}

/// What a sum gains when two ports of it change.
#[inline(always)]
fn port_gain(before: u32, after: u32) -> u32 {
    let sum = |ports: u32| (ports & 0xffff) + (ports >> 16);
    checksum::difference(sum(before), sum(after)).into()
}
