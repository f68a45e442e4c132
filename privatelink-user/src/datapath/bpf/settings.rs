//! The parameters of a flow table, and whether pinned maps can be adopted.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use aya::maps::{Array, Map, MapData};
use aya_obj::generated::bpf_map_type;
use privatelink_common::{LAYOUT_VERSION, hash::HashKeys, maps};

use super::{error::Error, fdinfo::Shape};

/// Name of the map that holds them. Only the daemon uses it; no program reads it.
pub(super) const NAME: &str = "SETTINGS";

const WORDS: usize = 2 + HashKeys::LEN;
type Value = [u32; WORDS];

const SHAPE: Shape = Shape {
    kind: bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
    key_size: 4,
    value_size: size_of::<Value>() as u32,
    max_entries: 1,
    flags: 0,
};

/// The maps that are the flow table together: one cannot be replaced without the other.
const FLOW_TABLE: [&str; 5] =
    [maps::SLOTS, maps::REGIONS, maps::METERS, maps::OCCUPANCY, maps::PORT_BLOCKS];

/// The parameters of the flow table. The keys decide where flows are stored, so they live as long
/// as the table does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    version: u32,
    /// How many regions it has.
    pub regions: u32,
    /// Keys of the hash that finds the slots of flows.
    pub keys: HashKeys,
}

impl Settings {
    /// Settings of a new table with `keys`, or else with random keys: a client that knew them could
    /// fill one region with its flows.
    pub(super) fn new(regions: u32, keys: Option<HashKeys>) -> io::Result<Self> {
        let keys = match keys {
            Some(keys) => keys,
            None => random_keys()?,
        };
        Ok(Self { version: LAYOUT_VERSION, regions, keys })
    }

    /// Reads a pinned map; `None` if it is not a map of settings.
    pub(super) fn read(fd: OwnedFd, shape: &Shape) -> Option<Self> {
        if *shape != SHAPE {
            return None;
        }
        let map = MapData::from_fd(fd).and_then(Map::from_map_data).ok()?;
        let array: Array<MapData, Value> = Array::try_from(map).ok()?;
        let [version, regions, keys @ ..] = array.get(&0, 0).ok()?;
        Some(Self { version, regions, keys: HashKeys(keys) })
    }

    /// Pins them at `path`. The map is filled before it is pinned, so it never appears half written.
    pub(super) fn pin(&self, path: &Path) -> Result<(), Error> {
        let shape = aya_obj::Map::new_from_params(
            SHAPE.kind,
            SHAPE.key_size,
            SHAPE.value_size,
            SHAPE.max_entries,
            SHAPE.flags,
        );
        let map = MapData::create(shape, NAME, None).and_then(Map::from_map_data);
        let map = map.map_err(Error::load("settings map"))?;
        let mut array: Array<MapData, Value> =
            Array::try_from(map).map_err(Error::load("settings map"))?;
        let mut value = [0; WORDS];
        let words = [self.version, self.regions].into_iter().chain(self.keys.0);
        for (word, key) in value.iter_mut().zip(words) {
            *word = key;
        }
        array.set(0, value, 0).map_err(Error::load("settings map"))?;
        array.pin(path).map_err(Error::load("pin of the settings map"))
    }
}

fn random_keys() -> io::Result<HashKeys> {
    let mut bytes = [0u8; HashKeys::LEN * 4];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut keys = [0; HashKeys::LEN];
    for (key, word) in keys.iter_mut().zip(bytes.as_chunks().0) {
        *key = u32::from_ne_bytes(*word);
    }
    Ok(HashKeys(keys))
}

/// What happened to the maps that were pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Maps that stay in use, with their content.
    pub kept: Vec<&'static str>,
    /// Maps that were replaced by empty ones, and why.
    pub replaced: BTreeMap<&'static str, String>,
}

impl Adoption {
    /// Whether no maps were pinned.
    pub fn is_fresh(&self) -> bool {
        self.kept.is_empty() && self.replaced.is_empty()
    }

    /// Whether flows were lost: their table was replaced.
    pub fn lost_flows(&self) -> bool {
        FLOW_TABLE.iter().any(|map| self.replaced.contains_key(map))
    }

    /// Decides which of the pinned maps can be used where `wanted` are.
    pub(super) fn decide(
        pinned: &BTreeMap<&'static str, Shape>,
        settings: Option<&Settings>,
        wanted: &BTreeMap<&'static str, Shape>,
    ) -> Self {
        let version = match settings {
            Some(settings) if settings.version == LAYOUT_VERSION => None,
            Some(other) => {
                Some(format!("layout version {} instead of {LAYOUT_VERSION}", other.version))
            }
            None => Some("its layout version is not known".to_owned()),
        };
        let table = FLOW_TABLE.iter().find_map(|map| match pinned.get(map) {
            None => Some(format!("{map} is missing")),
            Some(shape) => shape.difference(wanted.get(map)?).map(|what| format!("{map}: {what}")),
        });
        let mut adoption = Self::default();
        for (map, shape) in pinned {
            let own = || match wanted.get(map) {
                Some(wanted) => shape.difference(wanted),
                None => Some("no longer used".to_owned()),
            };
            let with_table = || table.clone().filter(|_| FLOW_TABLE.contains(map));
            match version.clone().or_else(with_table).or_else(own) {
                Some(why) => {
                    adoption.replaced.insert(map, why);
                }
                None => adoption.kept.push(map),
            }
        }
        adoption
    }

    /// Whether the flow table that was pinned stays in use, and its keys with it.
    pub(super) fn keeps_flows(&self) -> bool {
        FLOW_TABLE.iter().all(|map| self.kept.contains(map))
    }
}

impl fmt::Display for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_fresh() {
            return f.write_str("no maps were pinned");
        }
        write!(f, "{} pinned maps adopted", self.kept.len())?;
        for (map, why) in &self.replaced {
            write!(f, ", {map} replaced ({why})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOTS: Shape = Shape { kind: 2, key_size: 4, value_size: 64, max_entries: 256, flags: 0 };
    const REGIONS: Shape = Shape { value_size: 8, max_entries: 1, ..SLOTS };
    const METERS: Shape = Shape { value_size: 32, ..SLOTS };
    const OCCUPANCY: Shape = Shape { value_size: 8, max_entries: 1, ..SLOTS };
    const PORT_BLOCKS: Shape = Shape { value_size: 8, ..SLOTS };
    const TARGETS: Shape = Shape { max_entries: 9, ..SLOTS };

    fn wanted() -> BTreeMap<&'static str, Shape> {
        BTreeMap::from([
            (maps::SLOTS, SLOTS),
            (maps::REGIONS, REGIONS),
            (maps::METERS, METERS),
            (maps::OCCUPANCY, OCCUPANCY),
            (maps::PORT_BLOCKS, PORT_BLOCKS),
            (maps::TARGETS, TARGETS),
        ])
    }

    fn settings() -> Settings {
        Settings { version: LAYOUT_VERSION, regions: 1, keys: HashKeys([7; HashKeys::LEN]) }
    }

    #[test]
    fn equal_maps_are_kept() {
        let adoption = Adoption::decide(&wanted(), Some(&settings()), &wanted());
        assert_eq!(adoption.kept.len(), 6);
        assert!(adoption.keeps_flows() && adoption.replaced.is_empty());
    }

    #[test]
    fn one_that_differs_is_replaced_alone() {
        let mut pinned = wanted();
        pinned.insert(maps::TARGETS, Shape { value_size: 24, ..TARGETS });
        let adoption = Adoption::decide(&pinned, Some(&settings()), &wanted());
        assert_eq!(adoption.replaced.keys().collect::<Vec<_>>(), [&maps::TARGETS]);
        assert!(adoption.keeps_flows() && !adoption.lost_flows());
    }

    #[test]
    fn the_flow_table_is_replaced_as_a_whole() {
        for change in [None, Some(Shape { max_entries: 512, ..SLOTS })] {
            let mut pinned = wanted();
            pinned.remove(maps::SLOTS);
            pinned.extend(change.map(|shape| (maps::SLOTS, shape)));
            let adoption = Adoption::decide(&pinned, Some(&settings()), &wanted());
            assert!(adoption.lost_flows() && !adoption.keeps_flows());
            assert_eq!(adoption.kept, [maps::TARGETS]);
        }
    }

    #[test]
    fn nothing_of_another_or_an_unknown_version_is_kept() {
        let older = Settings { version: LAYOUT_VERSION + 1, ..settings() };
        for settings in [None, Some(&older)] {
            let adoption = Adoption::decide(&wanted(), settings, &wanted());
            assert_eq!((adoption.kept.len(), adoption.replaced.len()), (0, wanted().len()));
        }
    }
}
