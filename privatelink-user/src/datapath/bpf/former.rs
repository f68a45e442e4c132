//! What an earlier release has left in the pin directory, as far as this one understands it.
//!
//! Flows name records by index. Where the layout of the records has changed, their maps are
//! replaced; but what those meant must be known, or a flow could come to belong to another thing.
//! So the new maps begin with what the old ones held.

use std::{io, os::fd::OwnedFd, path::Path};

use aya::{Pod, maps::MapData};
use aya_obj::generated::bpf_map_type;
use privatelink_common::{
    Addr, Endpoint, TCP, Target,
    flow::{Phase, word},
    hash::HashKeys,
    maps,
};
use zerocopy::FromBytes;

use super::{
    batch,
    error::Error,
    fdinfo::Shape,
    settings::{self, Settings},
};

/// The version of the layout of records before this one, which had none of its own for flows.
pub(super) const LAYOUT: u32 = 7;
/// Layouts of the flow table that it reads: slots of today say more, in bits that it leaves alone.
pub(super) const FLOW_LAYOUTS_READ: [u32; 2] = [LAYOUT, 8];
/// The maps that are its flow table together.
pub(super) const FLOW_TABLE: [&str; 3] = [maps::SLOTS, maps::REGIONS, maps::METERS];
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

/// A word of its slots as this release would have it. It knew neither doubts nor which flows are not
/// established, so what it holds of them is from before a downgrade.
pub(super) const fn word(old: u32) -> u32 {
    let known = old & !(word::DOUBT | word::ASKED | word::UNSETTLED);
    let is_tcp = old & word::PROTOCOL == (TCP as u32) << word::PROTOCOL_SHIFT;
    let is_settled = matches!(Phase::of(old), Phase::Established | Phase::HalfClosed);
    // All flows of UDP look alike: they pass for answered.
    if is_tcp && !is_settled { known | word::UNSETTLED } else { known }
}

/// Words of a record of a source address: its address, and whether it is gone.
const SOURCE_WORDS: usize = 5;

/// The records of the release before that flows name.
#[derive(Debug, Default)]
pub(super) struct Former {
    pub endpoints: Vec<(u32, Endpoint)>,
    pub targets: Vec<(u32, Target)>,
    /// Their addresses. Today's records say more of them.
    pub sources: Vec<(u32, Addr)>,
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
        each(pins, maps::SOURCES, |index, [a, b, c, d, _]: [u32; SOURCE_WORDS]| {
            let mut address = Addr::default();
            address.0.copy_from_slice([a, b, c, d].map(u32::to_ne_bytes).as_flattened());
            former.sources.push((index, address));
        })?;
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

#[cfg(test)]
mod tests {
    use privatelink_common::UDP;

    use super::*;

    #[test]
    fn flows_of_tcp_are_settled_by_their_phase_and_others_are() {
        let tcp = u32::from(TCP) << word::PROTOCOL_SHIFT | word::LIVE;
        let stale = word::DOUBT | word::ASKED | word::UNSETTLED;
        for (phase, marks) in [
            (Phase::Opening, word::UNSETTLED),
            (Phase::Answered, word::UNSETTLED),
            (Phase::Established, 0),
            (Phase::HalfClosed, 0),
            (Phase::Closing, word::UNSETTLED),
        ] {
            for before in [0, stale] {
                assert_eq!(super::word(tcp | phase.bits() | before), tcp | phase.bits() | marks);
            }
        }
        let udp = u32::from(UDP) << word::PROTOCOL_SHIFT | Phase::Established.bits();
        assert_eq!(super::word(udp | stale), udp);
    }
}
