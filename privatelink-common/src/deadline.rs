//! When time alone changes the admission of an endpoint, for when no daemon runs.

use crate::Admission;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// When an endpoint's grant ends, and its drain: ticks of the datapath's clock.
///
/// The daemon itself obeys the clock while it runs; this is what it leaves behind.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Deadline {
    /// When new flows are refused, or [`Deadline::NEVER`].
    pub grant: u32,
    /// When those that run end, too; [`Deadline::NEVER`] is at the same time.
    pub drain: u32,
    /// The [`Admission`] after both.
    pub after: u32,
    /// Zero.
    pub reserved: u32,
}

impl Deadline {
    /// The tick of no deadline.
    pub const NEVER: u32 = 0;

    /// The admission that follows `admission` at a time; `None` if that stays.
    #[inline(always)]
    pub const fn next(&self, admission: u32, now: u32) -> Option<u32> {
        if Admission::opens(admission) {
            if !is_over(self.grant, now) {
                return None;
            }
            let drains = self.drain != Self::NEVER && !is_over(self.drain, now);
            return Some(if drains { Admission::Draining as u32 } else { self.after });
        }
        if admission == Admission::Draining as u32 && is_over(self.drain, now) {
            return Some(self.after);
        }
        None
    }
}

/// Whether a tick has come.
#[inline(always)]
const fn is_over(tick: u32, now: u32) -> bool {
    tick != Deadline::NEVER && now.wrapping_sub(tick).cast_signed() >= 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVAILABLE: u32 = Admission::Available as u32;
    const METERED: u32 = Admission::Metered as u32;
    const DRAINING: u32 = Admission::Draining as u32;
    const EXPIRED: u32 = Admission::Expired as u32;

    #[test]
    fn a_grant_ends_at_its_tick_and_drains() {
        let deadline = Deadline { grant: 100, drain: 150, after: EXPIRED, reserved: 0 };
        for admission in [AVAILABLE, METERED] {
            assert_eq!(deadline.next(admission, 99), None);
            assert_eq!(deadline.next(admission, 100), Some(DRAINING));
            assert_eq!(deadline.next(admission, 150), Some(EXPIRED), "the drain was slept through");
        }
        assert_eq!(deadline.next(DRAINING, 149), None);
        assert_eq!(deadline.next(DRAINING, 150), Some(EXPIRED));
        assert_eq!(deadline.next(EXPIRED, 999), None);
    }

    #[test]
    fn without_a_drain_flows_end_with_the_grant() {
        let deadline = Deadline { grant: 100, after: EXPIRED, ..Deadline::default() };
        assert_eq!(deadline.next(AVAILABLE, 100), Some(EXPIRED));
    }

    #[test]
    fn what_has_no_deadline_stays() {
        for admission in 0..8 {
            assert_eq!(Deadline::default().next(admission, u32::MAX), None);
        }
    }

    #[test]
    fn the_clock_may_wrap() {
        let deadline = Deadline { grant: 5, after: EXPIRED, ..Deadline::default() };
        assert_eq!(deadline.next(AVAILABLE, u32::MAX - 5), None);
        assert_eq!(deadline.next(AVAILABLE, 6), Some(EXPIRED));
    }
}
