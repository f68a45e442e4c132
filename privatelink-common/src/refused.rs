//! Refused flows: what the datapath reports to user space.

use crate::Addr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A packet that would have opened a flow, and may not.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct RefusedFlow {
    /// Who sent it.
    pub client: Addr,
    /// The endpoint's address that it was for.
    pub address: Addr,
    /// Client's port and listener's port: the bytes from the client, as the machine loads them.
    pub ports: u32,
    /// IP protocol number.
    pub protocol: u32,
    /// Index of the endpoint.
    pub endpoint: u32,
    /// Number of the [`Reason`](crate::Reason).
    pub reason: u32,
    /// Bytes of the IP packet.
    pub length: u32,
    /// When, in ticks.
    pub tick: u32,
}

/// A rate limit of one CPU, by tick, and the count of what it left out.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Sampling {
    /// The tick that `told` belongs to.
    pub tick: u32,
    /// Samples that were reported in that tick.
    pub told: u32,
    /// How many were left out, because there were too many or no room.
    pub left_out: u64,
}

impl Sampling {
    /// Refused flows of one network that are reported in a tick: 950 in a second.
    pub const REFUSED_FLOWS: u32 = 16;
    /// ICMP errors that are sent into one network in a tick (RFC 4443, section 2.4).
    pub const ERRORS: u32 = 64;

    /// Whether `most` admits one more in this tick; counts it either way.
    #[inline(always)]
    pub fn takes(&mut self, tick: u32, most: u32) -> bool {
        if self.tick != tick {
            (self.tick, self.told) = (tick, 0);
        }
        let takes = self.told < most;
        if takes {
            self.told += 1;
        } else {
            self.left_out = self.left_out.wrapping_add(1);
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::Sampling;

    #[test]
    fn a_flood_is_sampled_and_the_rest_counted() {
        let mut sampling = Sampling::default();
        let told = (0..1_000).filter(|_| sampling.takes(7, 64)).count();
        assert_eq!((told, sampling.left_out), (64, 936));
        assert!(sampling.takes(8, 64));
    }
}
