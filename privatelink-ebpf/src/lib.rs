//! The packet path: one pure function from a frame and the gateway's state to a verdict.
//!
//! A frame is walked in stages, each of which is a program of its own in the kernel:
//!
//! - [`fast`] carries packets of established flows: parse, one lookup, checks, rewrite by
//!   precomputed differences. It is straight-line code; whatever is unusual it leaves, untouched,
//!   to the later stages.
//! - Those are listed in [`Stage`]; [`stage`] runs one. A packet goes through few of them, and
//!   never twice through the same.
//!
//! The same code runs in the kernel, in tests and in the fuzzer: nothing here knows of maps,
//! helpers or contexts. [`Frame`] and [`Tables`] are the only ways out.
//!
//! # Rooms
//!
//! From the ground up; each imports only from those before it.
//!
//! - [`wire`]: headers as bytes, and what differs between families and transports.
//! - [`environment`]: the traits [`Frame`] and [`Tables`], and both in plain memory.
//! - [`flows`]: the flow table and what is built on it; [`Operations`] are those of its functions
//!   that the kernel has out of line.
//! - `stages`: one file for each stage, and what they share.
//! - `bpf`, a binary: maps, programs and contexts.
//!
//! # Inlining
//!
//! Most functions are `inline(always)`: a call costs a packet time, and it costs the verifier what
//! it knows of the frame's bounds. Those that are `inline(never)` keep large variables out of their
//! callers' stack frames: a whole chain of calls has 512 bytes.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![deny(unsafe_code)]

#[cfg(feature = "memory")]
extern crate alloc;
#[cfg(feature = "memory")]
extern crate std;

pub mod environment;
pub mod flows;
mod stages;
pub mod wire;

pub use environment::{Frame, Load, Segments, Socket, Tables, Walk};
#[cfg(feature = "memory")]
pub use environment::{MemoryFrame, MemoryTables};
pub use flows::{
    operations::Operations,
    sweep::{sweep, sweep_regions},
};
pub use privatelink_common::Stage;
pub use stages::{
    verdict::{Refused, Verdict},
    vlan::leave,
};

use flows::table::NEAR;
use privatelink_common::Reason;
use stages::{
    answer, carry, clamp, egress::Egress, fragment, host, icmp, icmp_error, open, packet::Packet,
    room, sent, slow, translate, translate_error,
};
use wire::{Datagram, EtherType, Ethernet, Front, Ip, Ipv4, Ipv6, Tcp, Transport, Udp};

/// Decides about one frame, and rewrites it where it goes on.
pub fn process<F: Frame, T: Operations>(frame: &mut F, tables: &T) -> Verdict {
    if let Some(verdict) = fast(frame, tables) {
        return verdict;
    }
    let mut verdict = Verdict::Next(Stage::Slow);
    while let Verdict::Next(next) = verdict {
        verdict = stage(next, frame, tables);
    }
    if leave(frame, tables, &verdict) { verdict } else { Verdict::drop(Reason::Internal) }
}

/// Takes a frame through one of the later stages.
#[inline(always)]
pub fn stage<F: Frame, T: Operations>(stage: Stage, frame: &mut F, tables: &T) -> Verdict {
    let Some(scratch) = tables.scratch() else { return Verdict::drop(Reason::Internal) };
    // Each verdict comes out of a function that is not inlined: one that were put together here
    // would leave fields unwritten, as an enum may, and the verifier refuses to see those copied.
    macro_rules! by_family {
        ($stage:ident::$function:ident $(, $part:literal)?) => {
            if is_ipv4(frame) {
                $stage::$function::<F, T, Ipv4 $(, $part)?>(frame, tables, scratch)
            } else {
                $stage::$function::<F, T, Ipv6 $(, $part)?>(frame, tables, scratch)
            }
        };
    }
    let mut verdict = match stage {
        Stage::Slow => slow::slow(frame, tables, scratch),
        Stage::Open => by_family!(open::open),
        Stage::Carry => by_family!(carry::carry),
        Stage::Fragment => by_family!(fragment::fragment),
        Stage::Clamp => return clamp::clamp(frame, tables, scratch),
        Stage::Translate => by_family!(translate::translate, false),
        Stage::TranslatePart => by_family!(translate::translate, true),
        Stage::Icmp => by_family!(icmp::icmp),
        Stage::IcmpError => by_family!(icmp_error::icmp_error),
        Stage::TranslateError => by_family!(translate_error::translate_error),
        Stage::Host => return host::host(frame, tables, scratch),
        Stage::Room => return room::room(tables, scratch),
        Stage::Answer => return by_family!(answer::answer),
    };
    answer::or_answer(&mut verdict, scratch);
    verdict
}

/// The family of a frame that [`Stage::Slow`] let through, which is one of the two.
#[inline(always)]
fn is_ipv4<F: Frame>(frame: &mut F) -> bool {
    frame.view::<Ethernet>(0).is_some_and(|ethernet| ethernet.ethertype() == EtherType::IPV4)
}

/// Carries a packet of an established flow; `None` leaves it, untouched, to [`Stage::Slow`].
#[inline(always)]
pub fn fast<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Option<Verdict> {
    let Some(network) = tables.network(frame.ingress()) else { return Some(Verdict::Pass) };
    let ethernet = frame.view::<Ethernet>(0)?;
    match ethernet.ethertype() {
        EtherType::IPV4 => fast_ip::<F, T, Ipv4>(frame, tables, network),
        EtherType::IPV6 => fast_ip::<F, T, Ipv6>(frame, tables, network),
        _ => None,
    }
}

#[inline(always)]
fn fast_ip<F: Frame, T: Tables, I: Ip>(frame: &mut F, tables: &T, network: u32) -> Option<Verdict> {
    let datagram = frame.view::<Front<I>>(0)?.ip.datagram().ok()?;
    match datagram.protocol {
        Tcp::PROTOCOL => fast_transport::<F, T, I, Tcp>(frame, tables, network, &datagram),
        Udp::PROTOCOL => fast_transport::<F, T, I, Udp>(frame, tables, network, &datagram),
        _ => None,
    }
}

#[inline(always)]
fn fast_transport<F: Frame, T: Tables, I: Ip, L: Transport>(
    frame: &mut F,
    tables: &T,
    network: u32,
    datagram: &Datagram<I>,
) -> Option<Verdict> {
    let segments = frame.segments();
    let (packet, head) = Packet::read_transport::<F, L>(frame, network, datagram).ok()?;
    let leg = packet.arrival.find(tables, NEAR)?;
    let egress = Egress::of(&leg);
    if !carry::takes_fast_path(head, &packet, segments, &leg, &egress) {
        return None;
    }
    carry::rewrite::<F, I, L>(head, &leg, &egress);
    if F::DEFERS_CHECKSUMS && frame.amend::<L>(packet.transport(), leg.gains()).is_none() {
        return Some(Verdict::drop(Reason::Internal));
    }
    Some(sent::count_sent(tables, packet.load(segments), &leg, &egress))
}
