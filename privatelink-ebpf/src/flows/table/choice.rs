//! What a flow is given by chance: a target, a source address and a port, from a keyed function.
//!
//! Other hosts see these, so they come from SipHash and not from the hash that places the flow.

use super::Arrival;
use crate::{environment::Tables, wire::Ip};
use privatelink_common::{hash::HashKeys, sip::Prf};

/// SipHash with the secret key of the datapath.
#[inline(always)]
pub fn prf<T: Tables>(tables: &T) -> Prf {
    let word = |index: usize| tables.hash_key(HashKeys::SIP + index);
    Prf::new([joined(word(0), word(1)), joined(word(2), word(3))])
}

/// Two words of a message as one.
#[inline(always)]
pub fn joined(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl<I: Ip> Arrival<I> {
    /// Decides for a flow of this tuple.
    #[inline(always)]
    pub fn choice<T: Tables>(&self, tables: &T) -> u64 {
        let whose = self.network << 8 | self.protocol;
        let first = prf(tables).word(joined(self.ports, whose));
        I::absorb(first, self.source, self.destination).finish(8 + I::PAIR, 0)
    }

    /// Decides for all flows of this client.
    #[inline(always)]
    pub fn client_choice<T: Tables>(&self, tables: &T) -> u64 {
        // No protocol has this number: the message is none of a tuple's.
        let first = prf(tables).word(joined(0, self.network << 8));
        I::absorb(first, self.source, self.source).finish(8 + I::PAIR, 0)
    }
}
