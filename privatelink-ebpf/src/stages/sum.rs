//! The ones' complement sum over a part of a frame, however long.

use crate::{
    environment::{Frame, Tables, Walk},
    wire::{ETHERNET_LEN, Fresh, Word, checksum},
};

/// Bytes of the longest part: more than any packet that fits into one buffer.
const LONGEST: u32 = 0x4000;
/// Where the longest part may begin.
const FARTHEST: usize = 0x1ff;

/// What the checksum of a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Soundness {
    /// It matches the message.
    Sound,
    /// It does not match the message.
    Wrong,
    /// Not known: the message lies in several buffers.
    Unknown,
}

/// Verifies the checksum of a control message behind a plain IP header.
#[inline(never)]
pub fn verify<F: Frame, T: Tables, I: Fresh>(frame: &mut F, tables: &T) -> Soundness {
    soundness::<F, T, I>(frame, tables)
}

/// [`verify`] for a function whose callers leave no room for one more: the kernel follows calls
/// eight deep.
#[inline(always)]
pub fn soundness<F: Frame, T: Tables, I: Fresh>(frame: &mut F, tables: &T) -> Soundness {
    let Some(header) = frame.view::<I>(ETHERNET_LEN) else { return Soundness::Unknown };
    let Ok(datagram) = &header.datagram() else { return Soundness::Unknown };
    let (source, destination) = (datagram.source, datagram.destination);
    let length = datagram.length.wrapping_sub(I::LEN as u32);
    let Some(sum) = over(frame, tables, ETHERNET_LEN + I::LEN, length) else {
        return Soundness::Unknown;
    };
    let is_right = checksum::fold(sum + I::control_sum(source, destination, length)) == 0xffff;
    if is_right { Soundness::Sound } else { Soundness::Wrong }
}

/// The sum over `length` bytes from an offset on, folded to 16 bits; `None` if the first buffer
/// of the frame does not hold them all.
#[inline(never)]
pub fn over<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    offset: usize,
    length: u32,
) -> Option<u32> {
    if length >= LONGEST || offset > FARTHEST {
        return None;
    }
    frame.gather(offset + length as usize);
    let mut sum = Sum { frame, offset, length, value: 0, whole: true };
    tables.walk(LONGEST / WORD, &mut sum);
    let rest = (length & !(WORD - 1)) as usize;
    if length & 2 != 0 {
        sum.add_bytes(rest);
        sum.add_bytes(rest + 1);
    }
    if length & 1 != 0 {
        sum.add_bytes((length & !1) as usize);
    }
    let value = (sum.value & 0xffff_ffff) + (sum.value >> 32);
    let value = (value & 0xffff) + (value >> 16 & 0xffff) + (value >> 32);
    let value = (value & 0xffff) + (value >> 16);
    let value = (value & 0xffff) + (value >> 16);
    sum.whole.then_some(value as u32)
}

/// Bytes of a step.
const WORD: u32 = size_of::<Word>() as u32;

struct Sum<'f, F> {
    frame: &'f mut F,
    offset: usize,
    length: u32,
    value: u64,
    whole: bool,
}

impl<F: Frame> Sum<'_, F> {
    /// Adds one of the last bytes.
    #[inline(always)]
    fn add_bytes(&mut self, at: usize) {
        let place = (self.offset & FARTHEST) + (at & (LONGEST - 1) as usize);
        match self.frame.view::<[u8; 1]>(place) {
            Some([byte]) => {
                let pair = if at & 1 == 0 { [*byte, 0] } else { [0, *byte] };
                self.value += u64::from(u16::from_ne_bytes(pair));
            }
            None => self.whole = false,
        }
    }
}

impl<F: Frame, T: Tables> Walk<T> for Sum<'_, F> {
    #[inline(always)]
    fn step(&mut self, _tables: &T, number: u32) -> bool {
        let at = (number * WORD) & (LONGEST - 1);
        if at + WORD > self.length {
            return true;
        }
        let Some(word) = self.frame.view::<Word>((self.offset & FARTHEST) + at as usize) else {
            self.whole = false;
            return true;
        };
        self.value += u64::from(word.value());
        false
    }
}
