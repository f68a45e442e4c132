//! What is known of the paths to an endpoint's clients.

use crate::tick::ticks_from_millis;

/// The least MTU that was reported of the paths to an endpoint's clients over IPv4, too small to be
/// told to targets, and when. One word, so that CPUs need no lock; zero if there was no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path(pub u64);

/// How long a report is believed, as long as a host believes one.
const BELIEVED: u32 = ticks_from_millis(600_000);

impl Path {
    /// With a further report.
    #[inline(always)]
    pub const fn reported(self, mtu: u32, now: u32) -> Self {
        match self.mtu(now) {
            Some(known) if known <= mtu => self,
            _ => Self((now as u64) << 32 | mtu as u64),
        }
    }

    /// The MTU, if there is a report that is believed still.
    #[inline(always)]
    pub const fn mtu(self, now: u32) -> Option<u32> {
        let age = now.wrapping_sub((self.0 >> 32) as u32);
        if self.0 as u32 == 0 || age >= BELIEVED { None } else { Some(self.0 as u32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_report_of_ten_minutes_counts() {
        let none = Path(0);
        assert_eq!(none.mtu(0), None);
        for start in [0, u32::MAX - 10] {
            let path = none.reported(1000, start).reported(600, start).reported(1200, start);
            assert_eq!(path.mtu(start), Some(600));
            assert_eq!(path.mtu(start.wrapping_add(BELIEVED - 1)), Some(600));
            assert_eq!(path.mtu(start.wrapping_add(BELIEVED)), None);
            let later = start.wrapping_add(BELIEVED);
            assert_eq!(path.reported(1200, later).mtu(later), Some(1200));
        }
    }
}
