//! What of a network's traffic reaches the stack of the gateway's own host.

use crate::Addr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bit of an entry of [`NETWORKS`](crate::maps::NETWORKS): the host gets all that is not the
/// gateway's. Without it, or without an entry, it gets what its services need.
pub const ALL: u32 = 1;
/// The host serves names there.
pub const NAMES: u32 = 2;

/// A prefix of addresses that a network's hosts have. The bytes are those of a key of the kernel's
/// longest-prefix match.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct SenderKey {
    /// How many bits of what follows count.
    pub length: u32,
    /// Index of the network.
    pub network: u32,
    /// The prefix, with all other bits zero.
    pub address: Addr,
}

impl SenderKey {
    /// Bits of a network's index, all of which count.
    pub const NETWORK_BITS: u32 = 32;

    /// The key of one address.
    #[inline(always)]
    pub const fn of(network: u32, address: Addr) -> Self {
        Self { length: Self::NETWORK_BITS + 128, network, address }
    }

    /// Whether an address of a network has this prefix.
    pub fn covers(&self, network: u32, address: Addr) -> bool {
        let bits = self.length.saturating_sub(Self::NETWORK_BITS);
        let differing = u128::from_be_bytes(self.address.0) ^ u128::from_be_bytes(address.0);
        self.network == network && differing.leading_zeros() >= bits.min(128)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_its_addresses_in_its_network() {
        let prefix =
            SenderKey { length: 32 + 96 + 16, network: 3, address: Addr::v4([10, 1, 0, 0]) };
        assert!(prefix.covers(3, Addr::v4([10, 1, 2, 3])));
        assert!(!prefix.covers(3, Addr::v4([10, 2, 2, 3])));
        assert!(!prefix.covers(4, Addr::v4([10, 1, 2, 3])));
        let one = SenderKey::of(3, Addr::v4([10, 1, 2, 3]));
        assert!(one.covers(3, Addr::v4([10, 1, 2, 3])) && !one.covers(3, Addr::v4([10, 1, 2, 2])));
    }
}
