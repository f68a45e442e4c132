//! What can be wrong with a frame, by name.

use super::ETHERNET;

/// A change that makes a good frame a bad one, or an unusual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Ends after this many bytes.
    CutTo(usize),
    /// This many bytes follow what the IP header speaks of.
    Padded(usize),
    /// The IPv4 header checksum is another.
    WrongHeaderChecksum,
    /// The IPv4 header has this version and length (in words of four bytes).
    VersionAndLength(u8, u8),
    /// The IP header speaks of this many bytes more, or fewer.
    LongerBy(i16),
    /// The TCP header claims this length, in words of four bytes.
    DataOffset(u8),
    /// The UDP header claims this length.
    UdpLength(u16),
    /// The transport checksum is off by one, in ones' complement.
    WrongChecksum,
    /// IPv6's fragment header, right behind IPv6's own, names this as what follows.
    FragmentOf(u8),
    /// The frame is of another EtherType.
    EtherType(u16),
}

impl Mutation {
    /// Does it to a frame that was right before.
    pub(super) fn apply(&self, frame: &mut Vec<u8>) {
        match *self {
            Self::CutTo(length) => frame.truncate(length),
            Self::Padded(more) => frame.resize(frame.len() + more, 0),
            Self::WrongHeaderChecksum => frame[ETHERNET + 10] ^= 0x40,
            Self::VersionAndLength(version, length) => frame[ETHERNET] = version << 4 | length,
            Self::LongerBy(by) => {
                let at = ETHERNET + if is_v6(frame) { 4 } else { 2 };
                let length = u16::from_be_bytes([frame[at], frame[at + 1]]);
                put(frame, at, length.wrapping_add_signed(by));
                if !is_v6(frame) {
                    mend_header_checksum(frame);
                }
            }
            Self::DataOffset(words) => {
                let at = transport(frame) + 12;
                frame[at] = words << 4 | frame[at] & 0xf;
            }
            Self::UdpLength(length) => {
                let at = transport(frame) + 4;
                put(frame, at, length);
            }
            Self::WrongChecksum => {
                let at = transport(frame) + checksum(protocol(frame));
                let check = u16::from_be_bytes([frame[at], frame[at + 1]]);
                let (sum, carry) = check.overflowing_add(1);
                put(frame, at, sum + u16::from(carry));
            }
            Self::FragmentOf(protocol) => frame[ETHERNET + 40] = protocol,
            Self::EtherType(kind) => put(frame, 12, kind),
        }
    }
}

fn put(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn is_v6(frame: &[u8]) -> bool {
    frame[ETHERNET] >> 4 == 6
}

fn transport(frame: &[u8]) -> usize {
    ETHERNET + if is_v6(frame) { 40 } else { usize::from(frame[ETHERNET] & 0xf) * 4 }
}

fn protocol(frame: &[u8]) -> u8 {
    frame[ETHERNET + if is_v6(frame) { 6 } else { 9 }]
}

/// Where in its header a protocol has the checksum.
fn checksum(protocol: u8) -> usize {
    match protocol {
        6 => 16,
        17 => 6,
        _ => 2,
    }
}

fn mend_header_checksum(frame: &mut [u8]) {
    put(frame, ETHERNET + 10, 0);
    let end = transport(frame);
    let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&frame[ETHERNET..end]);
    put(frame, ETHERNET + 10, sum.ones_complement().to_be());
}
