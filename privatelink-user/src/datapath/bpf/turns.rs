//! How the kernel's timer divides its work, and how a time becomes a tick.

use std::time::Duration;

use privatelink_common::{Deadline, TICK_SHIFT};

/// Regions that the timer sweeps at a time.
const STRIDE: u32 = 16;
/// How long the timer takes for the whole flow table.
const ROUND: Duration = Duration::from_secs(5);
/// The shortest and the longest time between two turns of the timer.
const TURNS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(250)];
/// How long it takes for all endpoints.
const PROMPT: Duration = Duration::from_millis(300);
/// Deadlines that are further away are left to the daemon: ticks wrap after two years.
const FAR: Duration = Duration::from_secs(180 * 86_400);

/// The time between two turns of the timer, for a flow table of this many regions.
pub(super) fn turn(regions: u32) -> Duration {
    let [shortest, longest] = TURNS;
    (ROUND / regions.div_ceil(STRIDE).max(1)).clamp(shortest, longest)
}

/// How many of this many endpoints the timer looks at in one turn.
pub(super) fn step(regions: u32, endpoints: u32) -> u32 {
    let turns = PROMPT.as_nanos() / turn(regions).as_nanos().max(1);
    endpoints.div_ceil(u32::try_from(turns).unwrap_or(1).max(1)).max(1)
}

/// The tick at which a period from `now` is over; [`Deadline::NEVER`] if that is far away.
pub fn tick_after(now: u32, period: Duration) -> u32 {
    if period > FAR {
        return Deadline::NEVER;
    }
    let ticks = (period.as_nanos() >> TICK_SHIFT) as u32;
    // The tick of no deadline is as good as the one after it.
    now.wrapping_add(ticks).wrapping_add(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_looked_at_within_the_time_and_every_region_within_its_round() {
        for regions in [1_u32, 16, 17, 500, 8_192, 262_144] {
            for endpoints in [1_u32, 2, 100, 65_536] {
                let turns = endpoints.div_ceil(step(regions, endpoints));
                assert!(turn(regions) * turns <= PROMPT, "{regions} {endpoints}");
            }
        }
        assert_eq!(turn(1), TURNS[1]);
        assert_eq!(turn(u32::MAX), TURNS[0]);
        assert!(turn(8_192) * 512 <= ROUND);
    }

    #[test]
    fn a_deadline_is_no_earlier_than_its_time_and_at_most_a_tick_later() {
        let tick = Duration::from_nanos(1 << TICK_SHIFT);
        assert_eq!(tick_after(100, Duration::ZERO), 101);
        assert_eq!(tick_after(100, tick * 7), 108);
        assert_eq!(tick_after(u32::MAX, Duration::ZERO), 1, "zero is no deadline");
        assert_eq!(tick_after(100, FAR * 2), Deadline::NEVER);
    }
}
