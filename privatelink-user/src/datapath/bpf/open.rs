//! Opening the datapath on what is pinned, whichever release has left it.

use std::{os::fd::AsFd, path::Path};

use aya::{
    Pod,
    maps::{Array, Map, MapData},
};
use privatelink_common::{
    flow::regions_for,
    maps::{ENDPOINTS, PORT_BLOCKS, STAGES, TARGETS, TC_STAGES},
};

use super::{
    error::Error,
    former::Former,
    loaded::{BPF_OBJECT, Datapath, Held, fd_of},
    maps,
    pins::{self, Pins},
    predecessor::Predecessor,
    settings::{Adoption, Settings},
    sys,
};

impl Datapath {
    /// Loads the programs with a flow table for `max_flows`, on the maps that are pinned in
    /// `pin_dir` where those fit, and pins what is new. The interfaces keep the programs that
    /// they have until [`attach`](Self::attach).
    ///
    /// # Errors
    /// When the directory is not on a BPF file system, holds an object of another program or is in
    /// use, or when the kernel refuses the object; nothing that was pinned has changed then.
    pub fn open(pin_dir: &Path, max_flows: u32) -> Result<(Self, Adoption), Error> {
        let pins = Pins::at(pin_dir);
        let lock = pins.prepare()?;
        let mut survey = pins.survey()?;
        if let Some((path, what)) = survey.foreign.pop() {
            return Err(Error::Foreign { path, what });
        }
        let regions = regions_for(max_flows);
        let wanted = maps::shapes(BPF_OBJECT, regions)?;
        let mut adoption = Adoption::decide(&survey.maps, survey.settings.as_ref(), &wanted);
        adoption.carries_flows |= survey.before.is_some();
        let kept = survey.settings.filter(|_| adoption.keeps_flows());
        let settings = match kept {
            Some(settings) => settings.with_our_records(),
            None => Settings::new(regions, None).map_err(Error::load("keys of the hash"))?,
        };
        // A table that was being replaced when a daemon died holds more flows than its successor.
        let carried = survey.before.or(survey.settings.map(|settings| settings.flow_version));
        let carried = carried.filter(|_| adoption.carries_flows);
        let former = Former::read(pin_dir, survey.settings.as_ref())?;
        let mut loaded = Self::load(&settings, max_flows, Some((&pins, &adoption)))?;
        if let Some(former) = &former {
            loaded.seed(former)?;
        }
        if adoption.replaced.contains_key(PORT_BLOCKS) && adoption.carries_flows {
            loaded.inherit_blocks(&pins.path(PORT_BLOCKS), survey.settings.as_ref())?;
        }
        if let Some(version) = carried.filter(|_| survey.before.is_none()) {
            pins.set_flow_table_aside(version)?;
        }
        loaded.pin(&pins, &adoption, &settings, survey.settings == Some(settings))?;
        if let Some(version) = carried {
            loaded.before = Some(Predecessor::open(&pins.before_path(version), version)?);
            loaded.begin_carrying(former)?;
        }
        pins.remove_dead_links()?;
        pins.retire_stages(&loaded.program_ids)?;
        loaded.pins = Some(Held { pins, _lock: lock });
        Ok((loaded, adoption))
    }

    /// Puts the records of the release before into maps that are new. It did not say which blocks
    /// of ports a source address has, so those are left out.
    fn seed(&self, former: &Former) -> Result<(), Error> {
        self.put(ENDPOINTS, &former.endpoints)?;
        self.put(TARGETS, &former.targets)
    }

    fn put<V: Pod>(&self, name: &'static str, records: &[(u32, V)]) -> Result<(), Error> {
        let map = Map::from_map_data(self.maps.duplicate(name)?);
        let mut array: Array<MapData, V> =
            map.and_then(Array::try_from).map_err(Error::load(name))?;
        let mut put = |(index, record): &(u32, V)| array.set(*index, record, 0);
        records.iter().try_for_each(&mut put).map_err(Error::load(name))
    }

    /// Pins what is not pinned yet. Maps that are replaced go first, so that at every moment the
    /// settings describe what is pinned: if the daemon dies in between, the next one makes what is
    /// missing.
    fn pin(
        &self,
        pins: &Pins,
        adoption: &Adoption,
        settings: &Settings,
        settings_kept: bool,
    ) -> Result<(), Error> {
        for map in maps::adoptable().filter(|map| !adoption.kept.contains(map)) {
            pins::remove_file(&pins.path(map))?;
        }
        if !settings_kept {
            pins.replace_settings(|path| settings.pin(path))?;
        }
        for map in maps::adoptable().filter(|map| !adoption.kept.contains(map)) {
            self.pin_map(map, &pins.path(map))?;
        }
        for (stages, program) in [STAGES, TC_STAGES].into_iter().zip(self.program_ids) {
            self.pin_map(stages, &pins.stage_path(program))?;
        }
        for name in pins::programs() {
            let path = pins.path(name);
            pins::remove_file(&path)?;
            let fd = fd_of(&self.ebpf, name)?;
            sys::pin(fd.as_fd(), &path).map_err(Error::path("pin", &path))?;
        }
        Ok(())
    }

    fn pin_map(&self, map: &'static str, path: &Path) -> Result<(), Error> {
        pins::remove_file(path)?;
        let fd = self.maps.get(map)?.fd().as_fd();
        sys::pin(fd, path).map_err(Error::path("pin", path))
    }
}
