//! What a test does with pinned maps itself, because no daemon runs that would.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, Map, MapData};
use privatelink_common::{FLOW_LAYOUT_VERSION, flow::Flow, maps, share::Block};

/// The words of the timer's map: the timer itself, and what `datapath/bpf/watch.rs` knows of it.
type Words = [u32; 12];

/// Returns how often the timer has fired that stands in for the daemon.
///
/// # Errors
/// When the map is not pinned in this directory.
pub fn timer_turns(pins: &Path) -> Result<u32> {
    let [.., turns, _, _, _] = timer(pins)?;
    Ok(turns)
}

/// Returns how many admissions it has changed.
///
/// # Errors
/// When the map is not pinned in this directory.
pub fn timer_changes(pins: &Path) -> Result<u32> {
    let [.., changes, _, _] = timer(pins)?;
    Ok(changes)
}

fn timer(pins: &Path) -> Result<Words> {
    let array: Array<MapData, Words> = Array::try_from(open(pins, maps::WATCH)?)?;
    Ok(array.get(&0, 0)?)
}

/// Returns how many slots of the flow table are live: two for each flow.
///
/// # Errors
/// When the map is not pinned in this directory.
pub fn live_slots(pins: &Path) -> Result<usize> {
    let slots: Array<MapData, Flow> = Array::try_from(open(pins, maps::SLOTS)?)?;
    Ok(slots.iter().filter(|slot| slot.as_ref().is_ok_and(Flow::is_live)).count())
}

/// Returns how many flows are counted, all in all and in blocks of ports. Reads a million blocks.
///
/// # Errors
/// When a map is not pinned in this directory.
pub fn counted_flows(pins: &Path) -> Result<[u32; 2]> {
    let occupancy: Array<MapData, [u32; 2]> = Array::try_from(open(pins, maps::OCCUPANCY)?)?;
    let [all, _displaced] = occupancy.get(&0, 0)?;
    let blocks: Array<MapData, u64> = Array::try_from(open(pins, maps::PORT_BLOCKS)?)?;
    let in_blocks = blocks.iter().filter_map(Result::ok).map(|block| Block(block).flows()).sum();
    Ok([all, in_blocks])
}

/// Returns the blocks of source ports that have no flows and are still somebody's, by their index: the
/// owner, and the word as it is.
///
/// # Errors
/// When the map is not pinned in this directory.
pub fn resting_blocks(pins: &Path) -> Result<BTreeMap<usize, (u32, u64)>> {
    let blocks: Array<MapData, u64> = Array::try_from(open(pins, maps::PORT_BLOCKS)?)?;
    let known = blocks.iter().enumerate().filter_map(|(index, word)| Some((index, word.ok()?)));
    let resting = known.filter(|(_, word)| *word != 0 && Block(*word).flows() == 0);
    Ok(resting.map(|(index, word)| (index, (Block(word).owner(), word))).collect())
}

fn open(pins: &Path, name: &str) -> Result<Map> {
    let path = pins.join(name);
    let map = MapData::from_pin(&path).and_then(Map::from_map_data);
    map.with_context(|| format!("cannot open {}", path.display()))
}

/// The kind of map that is an array, and the flag of those that can be mapped into memory.
const ARRAY: (u32, u32) = (2, 1 << 10);
/// Ports that copies of a flow use, on either side.
const PORTS: u32 = 50_000;
/// The first of them.
const FIRST_PORT: u32 = 10_000;

/// Puts many copies of a flow where the daemon enters them into its table at the next start: as the
/// table that its own replaces. They differ in the client's address and port, and in the ports of
/// target and source address. Returns how many there are.
///
/// # Errors
/// When there is no flow to this listener's port, or the kernel refuses a map.
pub fn multiply(pins: &Path, listener: u16, count: u32) -> Result<u32> {
    let slots = MapData::from_pin(pins.join(maps::SLOTS)).and_then(Map::from_map_data)?;
    let slots: Array<MapData, Flow> = Array::try_from(slots)?;
    let found: Vec<Flow> = slots.iter().filter_map(Result::ok).filter(Flow::is_live).collect();
    let [_, to] = found.first().context("there is no flow")?.consumer_port_pair();
    ensure!(found.len() == 2 && to == listener, "not one flow, to port {listener}: {found:?}");
    let (kind, flags) = ARRAY;
    let size = u32::try_from(size_of::<Flow>())?;
    let map = aya_obj::Map::new_from_params(kind, 4, size, 2 * count, flags);
    let map = MapData::create(map, maps::SLOTS, None).and_then(Map::from_map_data)?;
    let mut copies: Array<MapData, Flow> = Array::try_from(map)?;
    for number in 0..count {
        for (direction, flow) in (0..).zip(&found) {
            copies.set(2 * number + direction, copy(flow, number), 0)?;
        }
    }
    copies.pin(pins.join(format!("SLOTS_BEFORE_{FLOW_LAYOUT_VERSION}")))?;
    Ok(count)
}

fn copy(flow: &Flow, number: u32) -> Flow {
    let (group, place) = (number / PORTS, number % PORTS);
    let port = |number: u32| u16::try_from(number).unwrap_or_default().to_be_bytes();
    let [_, listener] = flow.consumer_port_pair();
    let mut client = flow.client;
    // 10.1.100.0 and on: no other test has them.
    let [.., third, fourth] = &mut client.0;
    (*third, *fourth) = (100, group as u8);
    let join = |[a, b]: [u8; 2], [c, d]: [u8; 2]| u32::from_ne_bytes([a, b, c, d]);
    Flow {
        client,
        consumer_ports: join(port(FIRST_PORT + place), listener.to_be_bytes()),
        provider_ports: join(port(1 + group), port(FIRST_PORT + place)),
        ..*flow
    }
}
