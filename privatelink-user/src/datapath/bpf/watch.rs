//! What goes on in the kernel while no daemon runs: deadlines of grants, and a timer that obeys
//! them and sweeps the flow table.

use std::collections::BTreeMap;

use aya::maps::{Array, Map, MapData};
use privatelink_common::{Deadline, maps};

use super::{batch, error::Error, loaded::Datapath, maps::Maps};

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
