//! The last steps for a packet that has been rewritten.

use super::{egress::Egress, verdict::Verdict, vlan};
use crate::{
    environment::{Load, Tables},
    flows::table::Leg,
    wire::{Ip, Tcp, Transport, tcp_flags},
};
use privatelink_common::{Scratch, Stage};

/// A packet that has been rewritten.
pub struct Sent {
    /// What counters count of it, as it came.
    pub load: Load,
    /// [`tcp_flags`]; zero for UDP.
    pub flags: u32,
    /// Where in the frame its transport header begins.
    pub transport: usize,
}

/// Counts a packet that has been rewritten, and sends it out.
#[inline(always)]
pub fn count_sent<T: Tables, I: Ip>(
    tables: &T,
    load: Load,
    leg: &Leg<'_>,
    egress: &Egress<I>,
) -> Verdict {
    leg.slot.seen(tables.now());
    let Load { packets, bytes } = load;
    leg.slot.count(packets, bytes);
    let from_consumer = egress.from_consumer;
    tables.count_endpoint(leg.slot.endpoint(), |count| {
        count.add(from_consumer, packets, bytes);
    });
    Verdict::Send { ifindex: egress.ifindex }
}

/// [`count_sent`] for the later stages, which also note the tag that the packet leaves with, and
/// pass a SYN on to the stage that lowers its largest segment.
#[inline(always)]
pub fn finish<T: Tables, I: Ip, L: Transport>(
    tables: &T,
    scratch: &Scratch,
    leg: &Leg<'_>,
    egress: &Egress<I>,
    sent: &Sent,
) -> Verdict {
    let verdict = count_sent(tables, sent.load, leg, egress);
    vlan::leave_by(scratch, egress.vlan);
    if L::PROTOCOL == Tcp::PROTOCOL && sent.flags & tcp_flags::SYN != 0 {
        scratch.transport.store(sent.transport as u32);
        scratch.ifindex.store(egress.ifindex);
        return Verdict::Next(Stage::Clamp);
    }
    verdict
}
