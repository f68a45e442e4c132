//! The Internet checksum, changed by differences (RFC 1624).
//!
//! Sums are taken over 16-bit words as they lie in memory: a ones' complement sum does not care
//! about byte order as long as it is the same throughout.

/// Folds a sum of 16-bit words to 16 bits.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Whether a sum of a few 32-bit words, checksum included, is that of sound data.
///
/// It is if the sum is a multiple of 0xffff: folded once to 33 bits and once more to 17, that
/// leaves two values.
#[inline(always)]
pub const fn is_whole(sum: u64) -> bool {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum == 0xffff || sum == 0x1_fffe
}

/// The checksum after its data changed by `delta`.
#[inline(always)]
pub const fn apply(check: u16, delta: u16) -> u16 {
    let sum = (!check) as u32 + delta as u32;
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// What a checksum gains when words that sum to `old` become words that sum to `new`.
#[inline(always)]
pub const fn difference(old: u32, new: u32) -> u16 {
    fold(new + (!fold(old)) as u32)
}

/// What the checksum of a transport gains by the rewrite of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gains {
    /// By new addresses, which are in the pseudo header. Where the kernel has yet to complete the
    /// checksum, it gains no more.
    pub pseudo: u16,
    /// By all that is new.
    pub whole: u16,
}

impl Gains {
    /// Those of each packet of a flow's direction, by its precomputed differences.
    #[inline(always)]
    pub const fn of(l3_delta: u16, l4_delta: u16) -> Self {
        Self { pseudo: difference(TTL_STEP as u32, l3_delta as u32), whole: l4_delta }
    }

    /// Those of a packet whose addresses stay.
    #[inline(always)]
    pub const fn payload(delta: u16) -> Self {
        Self { pseudo: 0, whole: delta }
    }

    /// By what is not in the pseudo header.
    #[inline(always)]
    pub const fn rest(self) -> u16 {
        difference(self.pseudo as u32, self.whole as u32)
    }
}

/// What an IPv4 header's checksum gains from one hop less.
pub const TTL_STEP: u16 = difference(u16::from_ne_bytes([1, 0]) as u32, 0);

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1624, section 4.
    #[test]
    fn rfc_1624_example() {
        let check = 0xdd2f_u16.to_be();
        let delta = difference(u32::from(0x5555_u16.to_be()), u32::from(0x3285_u16.to_be()));
        assert_eq!(apply(check, delta), 0x0000_u16.to_be());
    }

    #[test]
    fn a_step_of_the_ttl() {
        let before = u16::from_ne_bytes([64, 6]);
        let after = u16::from_ne_bytes([63, 6]);
        let check = !before;
        assert_eq!(fold(u32::from(apply(check, TTL_STEP)) + u32::from(after)), 0xffff);
    }
}
