//! The maps of the object, before and after loading.

use std::{collections::BTreeMap, os::fd::AsFd};

use aya::{
    Ebpf,
    maps::{Map, MapData, ProgramArray},
    programs::ProgramFd,
};
use privatelink_common::{Stage, flow::REGION_SLOTS, maps};

use super::{error::Error, fdinfo::Shape};
use crate::datapath::store::StoreError;

/// The object's maps, open.
#[derive(Debug)]
pub(super) struct Maps(BTreeMap<&'static str, MapData>);

impl Maps {
    /// Takes the maps out of a loaded object.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, StoreError> {
        let mut all = BTreeMap::new();
        for name in maps::ALL {
            let map = ebpf.take_map(name).ok_or(StoreError::Missing { map: name })?;
            let data = data(map).ok_or(StoreError::Missing { map: name })?;
            all.insert(*name, data);
        }
        Ok(Self(all))
    }

    pub(super) fn get(&self, name: &'static str) -> Result<&MapData, StoreError> {
        self.0.get(name).ok_or(StoreError::Missing { map: name })
    }

    /// Enters `program` as a later stage into a map of stages, for tail calls.
    pub(super) fn enter_stage(
        &self,
        map: &'static str,
        stage: Stage,
        program: &ProgramFd,
    ) -> Result<(), Error> {
        let stages = Map::from_map_data(self.duplicate(map)?);
        stages
            .and_then(ProgramArray::try_from)
            .and_then(|mut stages| stages.set(stage as u32, program, 0))
            .map_err(Error::load("stage"))
    }

    /// A map with a file descriptor of its own.
    pub(super) fn duplicate(&self, map: &'static str) -> Result<MapData, StoreError> {
        let fd = self
            .get(map)?
            .fd()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|source| StoreError::Duplicate { map, source })?;
        MapData::from_fd(fd).map_err(|error| StoreError::Mismatch { map, source: Box::new(error) })
    }
}

/// The kinds of maps that the object has.
fn data(map: Map) -> Option<MapData> {
    if let Map::Array(data)
    | Map::PerCpuArray(data)
    | Map::HashMap(data)
    | Map::PerCpuHashMap(data)
    | Map::LpmTrie(data)
    | Map::DevMap(data)
    | Map::ProgramArray(data)
    | Map::RingBuf(data) = map
    {
        Some(data)
    } else {
        None
    }
}

/// The maps that a new program may adopt from the one before. The maps of the later stages are not
/// among them: each program calls its own.
pub(super) fn adoptable() -> impl Iterator<Item = &'static str> {
    maps::ALL.iter().copied().filter(|map| ![maps::STAGES, maps::TC_STAGES].contains(map))
}

/// What an object's adoptable maps will look like in the kernel, for a flow table of `regions`.
pub(super) fn shapes(object: &[u8], regions: u32) -> Result<BTreeMap<&'static str, Shape>, Error> {
    let parsed = aya_obj::Object::parse(object)
        .map_err(|error| Error::Object { what: error.to_string() })?;
    let mut shapes = BTreeMap::new();
    for name in adoptable() {
        let missing = || Error::Object { what: format!("it has no map {name}") };
        let map = parsed.maps.get(name).ok_or_else(missing)?;
        let chosen = sized(regions).into_iter().find(|(map, _)| *map == name);
        let max_entries = chosen.map_or(map.max_entries(), |(_, entries)| entries);
        let shape = Shape {
            kind: map.map_type(),
            key_size: map.key_size(),
            value_size: map.value_size(),
            max_entries,
            flags: map.map_flags(),
        };
        shapes.insert(name, shape);
    }
    Ok(shapes)
}

/// The maps whose number of entries depends on the configuration, and that number.
pub(super) fn sized(regions: u32) -> [(&'static str, u32); 2] {
    [(maps::SLOTS, regions.saturating_mul(REGION_SLOTS)), (maps::REGIONS, regions)]
}
