//! What a test reads from pinned maps itself, because no daemon runs that would say.

use std::path::Path;

use anyhow::{Context, Result};
use aya::maps::{Array, Map, MapData};
use privatelink_common::maps;

/// The words of the timer's map: the timer itself, and what `datapath/bpf/watch.rs` knows of it.
type Words = [u32; 10];

/// Returns how often the timer has fired that stands in for the daemon.
///
/// # Errors
/// When the map is not pinned in this directory.
pub fn timer_turns(pins: &Path) -> Result<u32> {
    let [.., turns, _] = timer(pins)?;
    Ok(turns)
}

/// Returns how many admissions it has changed.
///
/// # Errors
/// When the map is not pinned in this directory.
pub fn timer_changes(pins: &Path) -> Result<u32> {
    let [.., changes] = timer(pins)?;
    Ok(changes)
}

fn timer(pins: &Path) -> Result<Words> {
    let path = pins.join(maps::WATCH);
    let map = MapData::from_pin(&path).and_then(Map::from_map_data);
    let map = map.with_context(|| format!("cannot open {}", path.display()))?;
    let array: Array<MapData, Words> = Array::try_from(map)?;
    Ok(array.get(&0, 0)?)
}
