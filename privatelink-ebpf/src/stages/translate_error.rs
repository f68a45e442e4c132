//! Translates an ICMP error between the two families of a flow (RFC 7915, sections 4.2 and 5.2).
//!
//! Both IP headers are written anew, and the checksum is computed over the whole message, as the
//! stage before has verified it.

use crate::{
    environment::{Frame, Tables},
    flows::table::Leg,
    stages::{
        egress::Egress,
        icmp_error::{OFFSETS, QuotedSegment, permit, says_unreachable, translate_segment},
        path_mtu, sum,
        verdict::Verdict,
        vlan,
    },
    wire::{ETHERNET_LEN, Ethernet, Fresh, Icmp, NO_MESSAGE, NewHeader, checksum},
};
use privatelink_common::{Reason, Scratch};

/// Length of the message's own header.
const ICMP: usize = size_of::<Icmp>();
/// The longest error over IPv6 (RFC 4443, section 2.4).
const LONGEST: u32 = 1280;

/// The stage for an error whose flow is known, and goes on as the other family.
#[inline(never)]
pub fn translate_error<F: Frame, T: Tables, I: Fresh>(
    frame: &mut F,
    tables: &T,
    scratch: &Scratch,
) -> Verdict {
    let Some(leg) = Leg::at(tables, scratch.slot.load()) else {
        return Verdict::drop(Reason::Internal);
    };
    let endpoint = leg.slot.endpoint();
    let refuse = |reason| Verdict::drop_at(reason, endpoint);
    let length =
        match &permit::<F, T, I>(frame, tables, &leg, max_error_input_len::<I, I::Other>(&leg)) {
            Ok(length) => *length,
            Err(reason) => return refuse(*reason),
        };
    if path_mtu::is_refused::<F, T, I>(frame, tables, &leg) {
        return refuse(Reason::PathMtu);
    }
    if !note_message::<F, I>(frame, scratch) {
        return refuse(Reason::Protocol);
    }
    let is_unreachable = leg.is_reverse() && says_unreachable::<F, I>(frame);
    let mut outline = Outline::default();
    if outline.read::<F, I, I::Other>(frame, scratch, length).is_none() {
        return refuse(Reason::Malformed);
    }
    let egress = Egress::<I::Other>::of(&leg);
    let segment = QuotedSegment { at: outline.at, shown: outline.shown };
    if translate_segment(frame, &leg, egress.ports, &segment).is_none() {
        return refuse(Reason::Malformed);
    }
    if compose::<F, T, I::Other>(frame, tables, &leg, &outline).is_none() {
        return refuse(Reason::Internal);
    }
    tables.count_endpoint(endpoint, |count| count.errors += 1);
    if is_unreachable {
        tables.count_target(leg.slot.target(), |count| count.unreachable += 1);
    }
    vlan::leave_by(scratch, egress.vlan);
    Verdict::Send { ifindex: egress.ifindex }
}

/// Bytes of the largest error that fits the way out. Over IPv6 it is cut to what every way carries.
#[inline(always)]
fn max_error_input_len<I: Fresh, O: Fresh>(leg: &Leg<'_>) -> u32 {
    if O::LEN > I::LEN {
        return u32::MAX;
    }
    Egress::<O>::of(leg).mtu + 2 * (I::LEN - O::LEN) as u32
}

/// Notes type, code and the rest of the header as the other family has them, if it has any.
#[inline(always)]
fn note_message<F: Frame, I: Fresh>(frame: &mut F, scratch: &Scratch) -> bool {
    let Some(message) = frame.view::<Icmp>(ETHERNET_LEN + I::LEN) else { return false };
    let (kind, code) = (message.kind, message.code);
    let mut rest = u32::from_be(message.rest());
    // A fragment that is short enough over the other family is so much shorter.
    if (kind, code) == I::TOO_BIG {
        rest = rest.saturating_sub(quoted_marks::<I>(scratch));
    }
    let rest = I::rest_across(kind, code, rest);
    scratch.message.store(I::message_across(kind, code));
    scratch.mtu.store(rest);
    scratch.message.load() != NO_MESSAGE && scratch.mtu.load() != NO_MESSAGE
}

/// Length of the fragment header in the quoted packet.
#[inline(always)]
fn quoted_marks<I: Fresh>(scratch: &Scratch) -> u32 {
    if I::FRAGMENT_LEN == 0 {
        return 0;
    }
    scratch.quoted.load().wrapping_sub((ETHERNET_LEN + I::LEN + ICMP + I::LEN) as u32)
}

/// What both headers of an error say, but for addresses.
#[derive(Default)]
struct Outline {
    /// Where in the frame the quoted transport header begins.
    at: u32,
    /// How many bytes of the quoted packet are shown from there on.
    shown: u32,
    /// How long the quoted packet's payload was.
    payload: u32,
    /// Class of traffic, and hops left, of the error.
    class: u8,
    hops: u8,
    /// The same of the quoted packet.
    quoted_class: u8,
    quoted_hops: u8,
}

impl Outline {
    /// Reads an error of `length` bytes from its IP header on.
    #[inline(never)]
    fn read<F: Frame, I: Fresh, O: Fresh>(
        &mut self,
        frame: &mut F,
        scratch: &Scratch,
        length: u32,
    ) -> Option<()> {
        let header = frame.view::<I>(ETHERNET_LEN)?;
        (self.class, self.hops) = (header.class(), header.ttl().wrapping_sub(1));
        let quoted = frame.view::<I>(ETHERNET_LEN + I::LEN + ICMP)?;
        (self.quoted_class, self.quoted_hops) = (quoted.class(), quoted.ttl());
        self.payload = quoted.payload().saturating_sub(quoted_marks::<I>(scratch));
        self.at = scratch.quoted.load();
        let shown = (ETHERNET_LEN as u32 + length).checked_sub(self.at)?;
        let most = LONGEST - (2 * O::LEN + ICMP) as u32;
        self.shown = if shown < most { shown } else { most };
        Some(())
    }
}

/// Writes both headers as the other family, before the quoted transport header, and the checksum.
#[inline(never)]
fn compose<F: Frame, T: Tables, O: Fresh>(
    frame: &mut F,
    tables: &T,
    leg: &Leg<'_>,
    outline: &Outline,
) -> Option<()> {
    let scratch = tables.scratch()?;
    let egress = Egress::<O>::of(leg);
    let at = outline.at as usize & OFFSETS;
    frame.resize(at + (outline.shown & 0x7ff) as usize)?;
    let by = at as i32 - (ETHERNET_LEN + 2 * O::LEN + ICMP) as i32;
    frame.change_family(O::ETHERTYPE, by)?;
    let ethernet = frame.view::<Ethernet>(0)?;
    ethernet.readdress(egress.mac, egress.hop);
    ethernet.set_ethertype(O::ETHERTYPE);
    let length = outline.shown + (O::LEN + ICMP) as u32;
    frame.view::<O>(ETHERNET_LEN)?.compose_as(&NewHeader {
        source: egress.source,
        destination: egress.destination,
        protocol: O::ICMP,
        payload: length,
        class: outline.class,
        hops: outline.hops,
        identification: leg.slot.counted().1 as u16,
        place: 0,
    });
    // The packet as its sender knows it: the other way round.
    frame.view::<O>(ETHERNET_LEN + O::LEN + ICMP)?.compose_as(&NewHeader {
        source: egress.destination,
        destination: egress.source,
        protocol: leg.protocol() as u8,
        payload: outline.payload,
        class: outline.quoted_class,
        hops: outline.quoted_hops,
        identification: 0,
        place: 0,
    });
    let message = frame.view::<Icmp>(ETHERNET_LEN + O::LEN)?;
    [_, _, message.kind, message.code] = scratch.message.load().to_be_bytes();
    message.set_check(0);
    message.set_rest(scratch.mtu.load().to_be());
    let sum = sum::over(frame, tables, ETHERNET_LEN + O::LEN, length)?;
    let sum = sum + O::control_sum(egress.source, egress.destination, length);
    frame.view::<Icmp>(ETHERNET_LEN + O::LEN)?.set_check(!checksum::fold(sum));
    Some(())
}
