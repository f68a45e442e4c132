//! Ends the options of IPv4 at the gateway.
//!
//! Options speak to the routers of one network, and some collect their addresses: a host that
//! answers a SYN with "record route" sends back the list, its own address at the end. No address
//! of one network may be seen in the other, so every option is overwritten with "no operation".
//! Where the packet changes family, options end as well (RFC 7915, section 4.1).

use crate::{
    environment::{Frame, Tables, Walk},
    wire::{ETHERNET_LEN, Front, Ip as _, Ipv4, Word, checksum, option},
};

/// Most words of options.
const MAX_WORDS: u32 = 10;
/// Keeps a place in an IPv4 header within what the verifier can see.
const OFFSET_MASK: u32 = 0x7f;
/// Four times "no operation".
const NOTHING: u32 = u32::from_ne_bytes([option::NOTHING; 4]);

/// Overwrites the options of an IPv4 header that ends at `end`, and mends its checksum.
#[inline(never)]
pub fn end<F: Frame, T: Tables>(frame: &mut F, tables: &T, end: u32) {
    let at = (ETHERNET_LEN + Ipv4::LEN) as u32;
    let mut ending = Ending { frame, at, end, gain: 0 };
    tables.walk(MAX_WORDS, &mut ending);
    let gain = checksum::fold(ending.gain);
    if let Some(front) = frame.view::<Front<Ipv4>>(0) {
        front.ip.set_check(checksum::apply(front.ip.check(), gain));
    }
}

/// Goes from word to word of the options.
struct Ending<'f, F: Frame> {
    frame: &'f mut F,
    at: u32,
    end: u32,
    /// What the header's sum gains.
    gain: u32,
}

impl<F: Frame, T: Tables> Walk<T> for Ending<'_, F> {
    #[inline(always)]
    fn step(&mut self, _tables: &T, _number: u32) -> bool {
        if self.at >= self.end {
            return true;
        }
        let Some(word) = self.frame.view::<Word>((self.at & OFFSET_MASK) as usize) else {
            return true;
        };
        let change = checksum::difference(Ipv4::sum(word.value()), Ipv4::sum(NOTHING));
        word.set_value(NOTHING);
        self.gain += u32::from(change);
        self.at += 4;
        false
    }
}
