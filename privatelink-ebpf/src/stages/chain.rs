//! The headers between Ethernet's and the transport's, where there is more than a plain IP
//! header: options of IPv4, extension headers of IPv6, fragments.
//!
//! Their number and length are bounded. Extension headers that are followed are forwarded unchanged;
//! options of IPv4 end here (see `options.rs`).

use crate::{
    environment::{Frame, Tables, Walk},
    stages::options,
    wire::{
        Datagram, ETHERNET_LEN, Extension, Fragment, Front, Ip, Ipv4, Ipv6, Segment, Transport,
        Word, checksum, masked, option,
    },
};
use privatelink_common::Reason;

/// Extension headers that are followed.
const MAX_HEADERS: u32 = 8;
/// Bytes of extension headers that are followed.
const MAX_BYTES: u32 = 256;
/// Options of an IPv4 header, at a byte each.
const MAX_OPTIONS: u32 = 40;
/// Words of an IPv4 header's options.
const MAX_WORDS: u32 = 10;

/// The last place in a frame where a header is looked for.
const MAX_OFFSET: u32 = (ETHERNET_LEN + Ipv6::LEN) as u32 + MAX_BYTES;
/// Keeps a place in a frame, which is no larger, within what the verifier can see.
const OFFSET_MASK: u32 = 0x1ff;
const _: () = assert!(MAX_OFFSET < OFFSET_MASK);

/// The most bytes that a length can say.
const LONGEST: u32 = 0xffff;

/// The headers before the transport header.
pub struct Chain<I: Ip> {
    /// What the IP header says; the protocol is that behind all extension headers.
    pub datagram: Datagram<I>,
    /// Where the transport header begins in the frame.
    pub transport: u32,
    /// Which part of a datagram it is.
    pub fragment: Fragment,
}

/// Where in the frame the part of the datagram begins that a fragment holds.
#[inline(always)]
pub fn part_at(fragment: Fragment, transport: u32) -> u32 {
    match fragment.at {
        0 => transport,
        at => u32::from(at) + size_of::<Extension>() as u32,
    }
}

/// A place in the frame that [`Chain`] found.
#[inline(always)]
pub fn bounded(at: u32) -> usize {
    masked::<OFFSET_MASK>(at) as usize
}

impl<I: Ip> Chain<I> {
    /// A plain IP header.
    #[inline(always)]
    pub fn plain(datagram: Datagram<I>) -> Self {
        let transport = (ETHERNET_LEN + I::LEN) as u32;
        Self { datagram, transport, fragment: Fragment::default() }
    }

    /// Checks what a fragment says of its place in the datagram.
    ///
    /// # Errors
    /// The fragment's place is impossible.
    #[inline(always)]
    pub fn check_part(&self) -> Result<(), Reason> {
        let at = part_at(self.fragment, self.transport);
        let part = ETHERNET_LEN as u32 + self.datagram.length - at;
        if part == 0 || self.fragment.has_more() && part & 7 != 0 {
            return Err(Reason::Malformed);
        }
        // IPv6 counts neither its header nor a fragment header among a datagram's bytes.
        let uncounted = match self.fragment.at {
            0 => ETHERNET_LEN,
            _ => ETHERNET_LEN + I::LEN + size_of::<Extension>(),
        };
        if at - uncounted as u32 + self.fragment.offset() + part > LONGEST {
            return Err(Reason::FragmentLong);
        }
        Ok(())
    }

    /// What the transport header says.
    ///
    /// # Errors
    /// What keeps the packet from being followed.
    #[inline(always)]
    pub fn segment<F: Frame, L: Transport>(&self, frame: &mut F) -> Result<Segment, Reason> {
        let payload = ETHERNET_LEN as u32 + self.datagram.length - self.transport;
        let first = self.fragment.is_first();
        if first && payload < size_of::<L>() as u32 {
            return Err(Reason::FragmentTiny);
        }
        let header = frame.view::<L>(bounded(self.transport)).ok_or(Reason::Malformed)?;
        // The length in a UDP header is that of the whole datagram.
        let whole = if first { LONGEST } else { payload };
        let segment = header.segment(whole, I::UDP_MAY_LACK_CHECKSUM)?;
        if segment.header > payload {
            return Err(Reason::FragmentTiny);
        }
        Ok(segment)
    }
}

/// What differs between the families in the headers before the transport's.
pub trait Chained: Ip {
    /// Follows the headers before the transport header of a packet that is not plain.
    ///
    /// # Errors
    /// What keeps the packet from being followed.
    fn chain<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Result<Chain<Self>, Reason>;
    /// The number that all fragments of a datagram have.
    fn identification<F: Frame>(frame: &mut F, fragment: Fragment) -> Option<u32>;
    /// Gives a fragment another number, and the checksum that goes with it.
    fn renumber<F: Frame>(frame: &mut F, fragment: Fragment, identification: u32) -> Option<()>;
    /// Ends the options of a packet whose transport header begins there.
    fn end_options<F: Frame, T: Tables>(frame: &mut F, tables: &T, transport: usize);
}

impl Chained for Ipv4 {
    #[inline(always)]
    fn chain<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Result<Chain<Self>, Reason> {
        ipv4_options(frame, tables)
    }

    #[inline(always)]
    fn identification<F: Frame>(frame: &mut F, _fragment: Fragment) -> Option<u32> {
        Some(frame.view::<Front<Self>>(0)?.ip.identification())
    }

    #[inline(always)]
    fn renumber<F: Frame>(frame: &mut F, _fragment: Fragment, identification: u32) -> Option<()> {
        frame.view::<Front<Self>>(0)?.ip.renumber(identification);
        Some(())
    }

    #[inline(always)]
    fn end_options<F: Frame, T: Tables>(frame: &mut F, tables: &T, transport: usize) {
        if transport != ETHERNET_LEN + Self::LEN {
            options::end(frame, tables, transport as u32);
        }
    }
}

impl Chained for Ipv6 {
    #[inline(always)]
    fn chain<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Result<Chain<Self>, Reason> {
        extensions(frame, tables)
    }

    #[inline(always)]
    fn identification<F: Frame>(frame: &mut F, fragment: Fragment) -> Option<u32> {
        let header = frame.view::<Extension>(bounded(u32::from(fragment.at)))?;
        Some(u32::from_be(header.identification()))
    }

    #[inline(always)]
    fn renumber<F: Frame>(frame: &mut F, fragment: Fragment, identification: u32) -> Option<()> {
        let header = frame.view::<Extension>(bounded(u32::from(fragment.at)))?;
        header.set_identification(identification.to_be());
        Some(())
    }

    #[inline(always)]
    fn end_options<F: Frame, T: Tables>(_frame: &mut F, _tables: &T, _transport: usize) {}
}

/// What keeps a chain from being followed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Fault {
    None,
    Malformed,
    Options,
}

impl Fault {
    #[inline(always)]
    fn check(self) -> Result<(), Reason> {
        match self {
            Self::None => Ok(()),
            Self::Malformed => Err(Reason::Malformed),
            Self::Options => Err(Reason::Options),
        }
    }
}

/// Follows the options of an IPv4 header.
///
/// # Errors
/// What keeps the packet from being followed.
#[inline(always)]
fn ipv4_options<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Result<Chain<Ipv4>, Reason> {
    let header = &frame.view::<Front<Ipv4>>(0).ok_or(Reason::Malformed)?.ip;
    let (header_length, fragment) = (header.header_length(), header.fragmented());
    let datagram = header.claims();
    if header.version() != 4 || header_length < Ipv4::LEN as u32 || datagram.length < header_length
    {
        return Err(Reason::Malformed);
    }
    let sum = header.word_sum();
    let at = (ETHERNET_LEN + Ipv4::LEN) as u32;
    let end = ETHERNET_LEN as u32 + header_length;
    let mut words = Words { frame, at, end, sum };
    tables.walk(MAX_WORDS, &mut words);
    if words.at != end {
        return Err(Reason::Malformed);
    }
    if !checksum::is_whole(words.sum) {
        return Err(Reason::BadChecksum);
    }
    let mut options = Ipv4Options { frame, at, end, fault: Fault::None };
    tables.walk(MAX_OPTIONS, &mut options);
    options.fault.check()?;
    Ok(Chain { datagram, transport: end, fragment })
}

/// Adds up the words of the options.
struct Words<'f, F: Frame> {
    frame: &'f mut F,
    at: u32,
    end: u32,
    sum: u64,
}

impl<F: Frame, T: Tables> Walk<T> for Words<'_, F> {
    #[inline(always)]
    fn step(&mut self, _tables: &T, _number: u32) -> bool {
        if self.at >= self.end || self.at > MAX_OFFSET {
            return true;
        }
        let Some(word) = self.frame.view::<Word>(self.at as usize) else { return true };
        self.sum += u64::from(word.value());
        self.at += 4;
        false
    }
}

/// Looks at each option.
struct Ipv4Options<'f, F: Frame> {
    frame: &'f mut F,
    at: u32,
    end: u32,
    fault: Fault,
}

impl<F: Frame> Ipv4Options<'_, F> {
    #[inline(always)]
    fn fail(&mut self, fault: Fault) -> bool {
        self.fault = fault;
        true
    }
}

impl<F: Frame, T: Tables> Walk<T> for Ipv4Options<'_, F> {
    #[inline(always)]
    fn step(&mut self, _tables: &T, _number: u32) -> bool {
        let at = self.at;
        if at >= self.end || at > MAX_OFFSET {
            return true;
        }
        let Some(&mut kind) = self.frame.view::<u8>(at as usize) else {
            return self.fail(Fault::Malformed);
        };
        if kind == option::END {
            return true;
        }
        if kind == option::NOTHING {
            self.at = at + 1;
            return false;
        }
        let Some(&mut length) = self.frame.view::<u8>(at as usize + 1) else {
            return self.fail(Fault::Malformed);
        };
        let length = u32::from(length);
        if length < option::HEAD || length > self.end - at {
            return self.fail(Fault::Malformed);
        }
        if kind == option::LOOSE_ROUTE || kind == option::STRICT_ROUTE {
            return self.fail(Fault::Options);
        }
        self.at = at + length;
        false
    }
}

/// Follows the extension headers of IPv6.
///
/// # Errors
/// What keeps the packet from being followed.
#[inline(always)]
fn extensions<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Result<Chain<Ipv6>, Reason> {
    let header = &frame.view::<Front<Ipv6>>(0).ok_or(Reason::Malformed)?.ip;
    let mut datagram = header.claims();
    let mut extensions = Extensions {
        frame,
        at: (ETHERNET_LEN + Ipv6::LEN) as u32,
        end: ETHERNET_LEN as u32 + datagram.length,
        next: datagram.protocol,
        fragment: Fragment::default(),
        fault: Fault::None,
    };
    tables.walk(MAX_HEADERS + 1, &mut extensions);
    let Extensions { at, end, next, fragment, fault, .. } = extensions;
    // A first fragment has to hold all headers (RFC 7112).
    if fragment.is_first() && (fault == Fault::Malformed || at > end) {
        return Err(Reason::FragmentTiny);
    }
    fault.check()?;
    if at > end {
        return Err(Reason::Malformed);
    }
    if at > MAX_OFFSET {
        return Err(Reason::Options);
    }
    datagram.protocol = next;
    Ok(Chain { datagram, transport: at, fragment })
}

/// Goes from header to header.
struct Extensions<'f, F: Frame> {
    frame: &'f mut F,
    at: u32,
    /// Where the packet ends.
    end: u32,
    /// Kind of the header at `at`.
    next: u32,
    fragment: Fragment,
    fault: Fault,
}

impl<F: Frame> Extensions<'_, F> {
    #[inline(always)]
    fn fail(&mut self, fault: Fault) -> bool {
        self.fault = fault;
        true
    }
}

impl<F: Frame, T: Tables> Walk<T> for Extensions<'_, F> {
    #[inline(always)]
    fn step(&mut self, _tables: &T, number: u32) -> bool {
        let (kind, at) = (self.next, self.at);
        if self.fragment.is_later() || !Extension::is_followed(kind) {
            return true;
        }
        if number >= MAX_HEADERS || at > MAX_OFFSET {
            return self.fail(Fault::Options);
        }
        let Some(header) = self.frame.view::<Extension>(at as usize) else {
            return self.fail(Fault::Malformed);
        };
        if at + size_of::<Extension>() as u32 > self.end {
            return self.fail(Fault::Malformed);
        }
        self.next = u32::from(header.next);
        if kind == Extension::FRAGMENT {
            if self.fragment.at != 0 {
                return self.fail(Fault::Malformed);
            }
            self.fragment = Fragment { place: header.place(), at: at as u16 };
            self.at = at + size_of::<Extension>() as u32;
            return false;
        }
        let left = header.segments_left();
        self.at = at + header.length();
        // RFC 8200, section 4.1: options hop by hop stand first or not at all.
        if kind == Extension::HOP_BY_HOP && number != 0 {
            return self.fail(Fault::Malformed);
        }
        if kind == Extension::ROUTING && left != 0 {
            return self.fail(Fault::Options);
        }
        false
    }
}
