//! What an earlier release has left in the pin directory, as far as this one understands it.
//!
//! Flows name records by index. Where the layout of the records has changed, their maps are
//! replaced; but what those meant must be known, or a flow could come to belong to another thing.
//! So the new maps begin with what the old ones held.

use std::{io, os::fd::OwnedFd, path::Path};

use aya::{Pod, maps::MapData};
use aya_obj::generated::bpf_map_type;
use privatelink_common::{Endpoint, Source, Target, hash::HashKeys, maps};
use zerocopy::FromBytes;

use super::{
    batch,
    error::Error,
    fdinfo::Shape,
    settings::{self, Settings},
};

/// The version of the layout of records before this one, which had none of its own for flows.
pub(super) const LAYOUT: u32 = 7;
/// Keys of its hash. Those of today are more, and begin with them.
const KEYS: usize = 10;
const WORDS: usize = 2 + KEYS;

const SHAPE: Shape = Shape {
    kind: bpf_map_type::BPF_MAP_TYPE_ARRAY as u32,
    key_size: 4,
    value_size: 4 * WORDS as u32,
    max_entries: 1,
    flags: 0,
};

/// Reads a pinned map of settings; the keys that it lacks are drawn.
pub(super) fn settings(fd: OwnedFd, shape: &Shape) -> Option<Settings> {
    if *shape != SHAPE {
        return None;
    }
    let [version, regions, keys @ ..] = settings::value::<WORDS>(fd)?;
    if version != LAYOUT {
        return None;
    }
    let mut all = settings::random_keys().ok()?;
    for (key, known) in all.0.iter_mut().zip(keys) {
        *key = known;
    }
    Some(Settings { version, flow_version: LAYOUT, regions, keys: all })
}

/// Pins settings as the release before would, at `path`.
pub(super) fn pin_settings(settings: &Settings, path: &Path) -> Result<(), Error> {
    let mut value = [0; WORDS];
    let words = [LAYOUT, settings.regions].into_iter().chain(settings.keys.0);
    for (word, known) in value.iter_mut().zip(words) {
        *word = known;
    }
    settings::pin(SHAPE, value, path)
}

const _: () = assert!(KEYS <= HashKeys::LEN);

/// The records of the release before that flows name.
#[derive(Debug, Default)]
pub(super) struct Former {
    pub endpoints: Vec<(u32, Endpoint)>,
    pub targets: Vec<(u32, Target)>,
    pub sources: Vec<(u32, Source)>,
}

impl Former {
    /// Reads them from the pin directory, if they are of the release before.
    pub(super) fn read(pins: &Path, settings: Option<&Settings>) -> Result<Option<Self>, Error> {
        if settings.is_none_or(|settings| settings.version != LAYOUT) {
            return Ok(None);
        }
        let mut former = Self::default();
        each(pins, maps::ENDPOINTS, |index, old: Endpoint| {
            // Its rules are in no map that is kept, and where their number stood is zero today.
            former.endpoints.push((index, Endpoint { rules: [0, 0], reserved: 0, ..old }));
        })?;
        each(pins, maps::TARGETS, |index, old| former.targets.push((index, old)))?;
        each(pins, maps::SOURCES, |index, old| former.sources.push((index, old)))?;
        Ok(Some(former))
    }
}

/// Calls `visit` for each entry of a pinned array that was ever written.
fn each<V: Pod + FromBytes + Default + PartialEq>(
    pins: &Path,
    name: &'static str,
    mut visit: impl FnMut(u32, V),
) -> Result<(), Error> {
    let fail = |source| Error::Read { what: "the records of the release before", source };
    let path = pins.join(name);
    if !path.exists() {
        // After `privatelink prepare-downgrade`: the flows are of what the state says.
        return Ok(());
    }
    let map = MapData::from_pin(path).map_err(io::Error::other).map_err(fail)?;
    let info = map.info().map_err(io::Error::other).map_err(fail)?;
    if info.value_size() as usize != size_of::<V>() {
        return Err(fail(io::Error::other(format!("{name} has values of another size"))));
    }
    batch::for_each_index(&map, |index, value: V| {
        if value != V::default() {
            visit(index, value);
        }
    })
    .map_err(fail)
}
