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
use privatelink_common::{
    FLOW_LAYOUT_VERSION, FLOW_LAYOUTS_READ, LAYOUT_VERSION, hash::HashKeys, maps,
};

use super::{error::Error, fdinfo::Shape};

/// Name of the map that holds them. Only the daemon uses it; no program reads it.
pub(super) const NAME: &str = "SETTINGS";

const WORDS: usize = 3 + HashKeys::LEN;
type Value = [u32; WORDS];

pub(super) const SHAPE: Shape = Shape {
    kind: bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
    key_size: 4,
    value_size: size_of::<Value>() as u32,
    max_entries: 1,
    flags: 0,
};

/// The maps that are the flow table together: one cannot be replaced without the other.
pub(super) const FLOW_TABLE: [&str; 5] =
    [maps::SLOTS, maps::REGIONS, maps::METERS, maps::OCCUPANCY, maps::PORT_BLOCKS];

/// The parameters of the flow table. The keys decide where flows are stored, so they live as long
/// as the table does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Version of the layout of the records.
    pub version: u32,
    /// Version of the layout of the flow table.
    pub flow_version: u32,
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
        Ok(Self { version: LAYOUT_VERSION, flow_version: FLOW_LAYOUT_VERSION, regions, keys })
    }

    /// The same table with records of this release.
    pub(super) fn with_our_records(self) -> Self {
        Self { version: LAYOUT_VERSION, ..self }
    }

    /// Reads a pinned map of this [`SHAPE`].
    pub(super) fn read(fd: OwnedFd) -> Option<Self> {
        let [version, flow_version, regions, keys @ ..] = value::<WORDS>(fd)?;
        Some(Self { version, flow_version, regions, keys: HashKeys(keys) })
    }

    /// Pins them at `path`. The map is filled before it is pinned, so it never appears half written.
    pub(super) fn pin(&self, path: &Path) -> Result<(), Error> {
        let mut value = [0; WORDS];
        let words = [self.version, self.flow_version, self.regions].into_iter().chain(self.keys.0);
        for (word, known) in value.iter_mut().zip(words) {
            *word = known;
        }
        pin(SHAPE, value, path)
    }
}

/// The value of an open map of settings.
pub(super) fn value<const N: usize>(fd: OwnedFd) -> Option<[u32; N]> {
    let map = MapData::from_fd(fd).and_then(Map::from_map_data).ok()?;
    let array: Array<MapData, [u32; N]> = Array::try_from(map).ok()?;
    array.get(&0, 0).ok()
}

/// Makes a map of settings that holds `value`, and pins it.
pub(super) fn pin<const N: usize>(shape: Shape, value: [u32; N], path: &Path) -> Result<(), Error> {
    let Shape { kind, key_size, value_size, max_entries, flags } = shape;
    let map = aya_obj::Map::new_from_params(kind, key_size, value_size, max_entries, flags);
    let map = MapData::create(map, NAME, None).and_then(Map::from_map_data);
    let map = map.map_err(Error::load("settings map"))?;
    let mut array: Array<MapData, [u32; N]> =
        Array::try_from(map).map_err(Error::load("settings map"))?;
    array.set(0, value, 0).map_err(Error::load("settings map"))?;
    array.pin(path).map_err(Error::load("pin of the settings map"))
}

/// Makes keys for the hashes of packets, which no sender can predict.
pub(super) fn random_keys() -> io::Result<HashKeys> {
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
    /// Whether the flows of a table that was replaced are entered into the new one.
    pub carries_flows: bool,
}

impl Adoption {
    /// Whether no maps were pinned.
    pub fn is_fresh(&self) -> bool {
        self.kept.is_empty() && self.replaced.is_empty()
    }

    /// Whether flows were lost: their table was replaced.
    pub fn lost_flows(&self) -> bool {
        !self.carries_flows && FLOW_TABLE.iter().any(|map| self.replaced.contains_key(map))
    }

    /// Decides which of the pinned maps can be used where `wanted` are.
    pub(super) fn decide(
        pinned: &BTreeMap<&'static str, Shape>,
        settings: Option<&Settings>,
        wanted: &BTreeMap<&'static str, Shape>,
    ) -> Self {
        let version = |found: Option<u32>, ours: u32| match found {
            Some(version) if version == ours => None,
            Some(other) => Some(format!("layout version {other} instead of {ours}")),
            None => Some("its layout version is not known".to_owned()),
        };
        let records = version(settings.map(|settings| settings.version), LAYOUT_VERSION);
        let table = version(settings.map(|settings| settings.flow_version), FLOW_LAYOUT_VERSION);
        let table = table.or_else(|| {
            FLOW_TABLE.iter().find_map(|map| match pinned.get(map) {
                None => Some(format!("{map} is missing")),
                Some(shape) => {
                    shape.difference(wanted.get(map)?).map(|what| format!("{map}: {what}"))
                }
            })
        });
        let is_read = |version| FLOW_LAYOUTS_READ.contains(&version);
        let same_slots = |found: &Shape, wanted: &Shape| {
            Shape { max_entries: wanted.max_entries, ..*found } == *wanted
        };
        let slots = pinned.get(maps::SLOTS).zip(wanted.get(maps::SLOTS));
        let carries_flows = table.is_some()
            && settings.is_some_and(|settings| is_read(settings.flow_version))
            && slots.is_some_and(|(found, wanted)| same_slots(found, wanted));
        let mut adoption = Self { carries_flows, ..Self::default() };
        for (map, shape) in pinned {
            let own = || match wanted.get(map) {
                Some(wanted) => shape.difference(wanted),
                None => Some("no longer used".to_owned()),
            };
            let why =
                if FLOW_TABLE.contains(map) { table.clone() } else { records.clone().or_else(own) };
            match why {
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
        let mut reasons = BTreeMap::<&str, Vec<&str>>::new();
        for (map, why) in &self.replaced {
            reasons.entry(why).or_default().push(map);
        }
        for (why, maps) in reasons {
            write!(f, ", {} replaced ({why})", maps.join(" "))?;
        }
        if self.carries_flows {
            f.write_str("; the flows are kept")?;
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
        let keys = HashKeys([7; HashKeys::LEN]);
        Settings::new(1, Some(keys)).unwrap()
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
        let larger = Shape { max_entries: 512, ..SLOTS };
        let other = Shape { value_size: 128, ..SLOTS };
        for (change, carries) in [(None, false), (Some(larger), true), (Some(other), false)] {
            let mut pinned = wanted();
            pinned.remove(maps::SLOTS);
            pinned.extend(change.map(|shape| (maps::SLOTS, shape)));
            let adoption = Adoption::decide(&pinned, Some(&settings()), &wanted());
            assert_eq!((adoption.lost_flows(), adoption.keeps_flows()), (!carries, false));
            assert_eq!(adoption.kept, [maps::TARGETS]);
        }
    }

    #[test]
    fn the_flow_table_outlives_the_layout_of_the_records() {
        let earlier = Settings { version: LAYOUT_VERSION - 1, ..settings() };
        let adoption = Adoption::decide(&wanted(), Some(&earlier), &wanted());
        assert!(adoption.keeps_flows() && !adoption.carries_flows && !adoption.lost_flows());
        assert_eq!(adoption.replaced.keys().collect::<Vec<_>>(), [&maps::TARGETS]);
    }

    #[test]
    fn nothing_of_another_or_an_unknown_version_is_kept() {
        let version = LAYOUT_VERSION + 1;
        let older = Settings { version, flow_version: version, ..settings() };
        for settings in [None, Some(&older)] {
            let adoption = Adoption::decide(&wanted(), settings, &wanted());
            assert_eq!((adoption.kept.len(), adoption.replaced.len()), (0, wanted().len()));
        }
    }
}
