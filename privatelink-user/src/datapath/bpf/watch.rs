//! What goes on in the kernel while no daemon runs: deadlines of grants, and a timer that obeys
//! them and sweeps the flow table.

use std::{collections::BTreeMap, time::Duration};

use aya::maps::{Array, Map, MapData};
use privatelink_common::{Deadline, TICK_SHIFT, maps};

use super::{batch, error::Error, loaded::Datapath, maps::Maps};

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

/// What the timer has done since its map was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TimerCounts {
    /// How often it has fired.
    pub turns: u32,
    /// How many admissions it has changed.
    pub changes: u32,
}

/// The words of the timer's map: the timer itself, which reads as zero, and eight more.
type Words = [u32; 12];

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

impl Datapath {
    /// The deadlines of endpoints, by index.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn deadlines(&self) -> Result<BTreeMap<u32, Deadline>, Error> {
        let mut all = BTreeMap::new();
        let map = self.maps.get(maps::DEADLINES)?;
        batch::for_each_index(map, |index, deadline: Deadline| {
            if deadline != Deadline::default() {
                all.insert(index, deadline);
            }
        })
        .map_err(|source| Error::Read { what: "the deadlines", source })?;
        Ok(all)
    }

    /// What the timer has done.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn timer_counts(&self) -> Result<TimerCounts, Error> {
        let map = Map::from_map_data(self.maps.duplicate(maps::WATCH)?);
        let array: Array<MapData, Words> =
            map.and_then(Array::try_from).map_err(Error::load(maps::WATCH))?;
        let [.., turns, changes, _, _] = array.get(&0, 0).map_err(Error::load(maps::WATCH))?;
        Ok(TimerCounts { turns, changes })
    }

    /// Sets the deadline of an endpoint.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub fn set_deadline(&self, endpoint: u32, deadline: Deadline) -> Result<(), Error> {
        let mut array = typed(&self.maps)?;
        array.set(endpoint, deadline, 0).map_err(Error::load("deadline"))
    }
}

fn typed(maps: &Maps) -> Result<Array<MapData, Deadline>, Error> {
    let map = Map::from_map_data(maps.duplicate(maps::DEADLINES)?);
    map.and_then(Array::try_from).map_err(Error::load(maps::DEADLINES))
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
