//! Keeps the segments of a flow that opens small enough for the ways to both of its ends.
//!
//! Each end announces in its SYN the largest segment that it accepts. Neither knows the path beyond
//! the gateway, so the gateway lowers the number.

use crate::{
    environment::{Frame, Tables, Walk},
    flows::table::Leg,
    stages::{chain, path_mtu, verdict::Verdict},
    wire::{Gains, Ip, Ipv4, Ipv6, Tcp, checksum, option},
};
use privatelink_common::{Scratch, flow::word};

/// Most bytes that TCP's options take, and so most of them.
const MAX_OPTIONS: u32 = 40;
/// TCP's option for the largest segment, and its length.
const MSS: (u8, u32) = (2, 4);

/// The stage that a rewritten packet with SYN takes on its way out.
#[inline(always)]
pub fn clamp<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &Scratch) -> Verdict {
    if let Some(most) = most(tables, scratch.slot.load()) {
        lower(frame, tables, scratch.transport.load(), most);
    }
    Verdict::Send { ifindex: scratch.ifindex.load() }
}

/// The largest segment that goes to either end of a flow in one packet.
#[inline(always)]
fn most<T: Tables>(tables: &T, slot: u32) -> Option<u32> {
    let leg = Leg::at(tables, slot)?;
    let header = |mask| if leg.word & mask != 0 { Ipv6::LEN } else { Ipv4::LEN } as u32;
    let (arrives, leaves) = (header(word::ARRIVES_V6), header(word::LEAVES_V6));
    let (consumer, provider) = if leg.is_reverse() { (leaves, arrives) } else { (arrives, leaves) };
    let least = |a, b| if a < b { a } else { b };
    let path = if consumer == Ipv4::LEN as u32 {
        least(leg.endpoint.largest(), path_mtu::known(tables, leg.slot.endpoint()))
    } else {
        leg.endpoint.largest()
    };
    let consumer = path.saturating_sub(consumer);
    let provider = leg.target.largest().saturating_sub(provider);
    least(consumer, provider).checked_sub(size_of::<Tcp>() as u32)
}

/// Lowers the largest segment in the options of a TCP header, if it is there.
#[inline(never)]
fn lower<F: Frame, T: Tables>(frame: &mut F, tables: &T, transport: u32, most: u32) {
    let Some(tcp) = frame.view::<Tcp>(chain::bounded(transport)) else { return };
    let length = u32::from(u16::from_be(tcp.offset_flags())) >> 12 << 2;
    let at = size_of::<Tcp>() as u32;
    let mut options = TcpOptions { frame, transport, at, end: length, most };
    tables.walk(MAX_OPTIONS, &mut options);
}

/// Walks along the options of a TCP header, up to one that is malformed.
struct TcpOptions<'f, F: Frame> {
    frame: &'f mut F,
    /// Where in the frame the TCP header begins.
    transport: u32,
    /// Where in the TCP header an option begins.
    at: u32,
    /// Length of the TCP header.
    end: u32,
    most: u32,
}

/// Keeps a place in a TCP header within what the verifier can see.
const OFFSET_MASK: u32 = 0x3f;

impl<F: Frame, T: Tables> Walk<T> for TcpOptions<'_, F> {
    #[inline(always)]
    fn step(&mut self, _tables: &T, _number: u32) -> bool {
        let at = self.at & OFFSET_MASK;
        if at >= self.end {
            return true;
        }
        let place = chain::bounded(self.transport) + at as usize;
        let Some(&mut kind) = self.frame.view::<u8>(place) else { return true };
        if kind == option::END {
            return true;
        }
        if kind == option::NOTHING {
            self.at = at + 1;
            return false;
        }
        let Some(&mut length) = self.frame.view::<u8>(place + 1) else { return true };
        let length = u32::from(length);
        if length < option::HEAD || length > self.end - at {
            return true;
        }
        if kind == MSS.0 {
            if length == MSS.1 {
                self.put(at + option::HEAD);
            }
            return true;
        }
        self.at = at + length;
        false
    }
}

impl<F: Frame> TcpOptions<'_, F> {
    /// Lowers the number at a place of the TCP header.
    #[inline(always)]
    fn put(&mut self, at: u32) {
        let start = chain::bounded(self.transport);
        let Some(number) = self.frame.view::<[u8; 2]>(start + (at & OFFSET_MASK) as usize) else {
            return;
        };
        let (old, new) = (*number, (self.most as u16).to_be_bytes());
        if u32::from(u16::from_be_bytes(old)) <= self.most {
            return;
        }
        *number = new;
        // At an odd offset the two bytes belong to two words of the sum.
        let word = |[first, second]: [u8; 2]| {
            let bytes = if at & 1 == 0 { [first, second] } else { [second, first] };
            u32::from(u16::from_ne_bytes(bytes))
        };
        let delta = checksum::difference(word(old), word(new));
        // Without its checksum the packet is of no use, and the receiver drops it.
        let _amended = self.frame.amend::<Tcp>(start, Gains::payload(delta));
    }
}
