//! The keyed hash that places a flow in the table.
//!
//! NH, the universal hash of UMAC: products of key-offset 32-bit halves, added up. The
//! multiplications do not wait for each other, and without the keys nobody can aim at one part
//! of the table: two different tuples meet with a probability of 2^-32. That holds only while no
//! output is seen outside of the gateway, so nothing but the place of a flow may come from it; what
//! others see comes from [`sip`](crate::sip).

/// Secret keys, drawn when the table is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct HashKeys(pub [u32; Self::LEN]);

impl HashKeys {
    /// Two for ports and network, eight for two addresses, four for [`sip`](crate::sip).
    pub const LEN: usize = Self::SIP + 4;
    /// The first of the key of [`sip`](crate::sip).
    pub const SIP: usize = 10;
}

/// Spreads the sum, whose low bits are the weakest, over all 64 bits.
#[inline(always)]
pub const fn finish(sum: u64) -> u64 {
    let h = (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^ (h >> 29)
}

/// One product of the sum.
#[inline(always)]
pub const fn pair(key_a: u32, a: u32, key_b: u32, b: u32) -> u64 {
    (key_a.wrapping_add(a) as u64).wrapping_mul(key_b.wrapping_add(b) as u64)
}
