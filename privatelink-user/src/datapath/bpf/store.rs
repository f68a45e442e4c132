//! The maps in the kernel.

use std::{collections::BTreeMap, io};

use aya::{
    Pod,
    maps::{Array, DevMap, HashMap, IterableMap, Map, MapData, MapError},
};
use nix::net::if_::if_nameindex;
use privatelink_common::{
    Endpoint, Limits, Listener, ListenerKey, Local, LocalKey, Rule, RuleKey, Service, Source,
    TagKey, Target, maps,
};
use zerocopy::FromBytes;

use crate::datapath::{
    bpf::{self, Maps, batch},
    op::{Change, Op},
    store::{MapStore, StoreError},
    tables::Tables,
};

/// The [`MapStore`] that packets see.
///
/// It has file descriptors of its own, so it may outlive the
/// [`Datapath`](crate::datapath::bpf::Datapath) that it came from.
pub struct Kernel {
    devices: DevMap<MapData>,
    sources: Array<MapData, Source>,
    targets: Array<MapData, Target>,
    services: Array<MapData, Service>,
    backends: Array<MapData, u32>,
    listeners: HashMap<MapData, ListenerKey, Listener>,
    rules: HashMap<MapData, RuleKey, Rule>,
    limits: Array<MapData, Limits>,
    endpoints: Array<MapData, Endpoint>,
    locals: HashMap<MapData, LocalKey, Local>,
    attachments: Array<MapData, u32>,
    tagged: HashMap<MapData, TagKey, u32>,
}

impl Kernel {
    /// Opens the maps of a loaded object once more.
    pub(crate) fn of(opened: &Maps) -> Result<Self, StoreError> {
        Ok(Self {
            devices: typed(opened, maps::DEVICES)?,
            sources: typed(opened, maps::SOURCES)?,
            targets: typed(opened, maps::TARGETS)?,
            services: typed(opened, maps::SERVICES)?,
            backends: typed(opened, maps::BACKENDS)?,
            listeners: typed(opened, maps::LISTENERS)?,
            rules: typed(opened, maps::RULES)?,
            limits: typed(opened, maps::LIMITS)?,
            endpoints: typed(opened, maps::ENDPOINTS)?,
            locals: typed(opened, maps::LOCALS)?,
            attachments: typed(opened, maps::ATTACHMENTS)?,
            tagged: typed(opened, maps::TAGGED)?,
        })
    }

    /// Reads the devices: the kernel drops the entries of interfaces that go, so only those that
    /// exist can be in the map.
    fn load_devices(&self) -> io::Result<BTreeMap<u32, ()>> {
        let mut found = BTreeMap::new();
        for interface in &if_nameindex()? {
            let index = interface.index();
            match self.devices.get(index, 0) {
                Ok(_) => {
                    found.insert(index, ());
                }
                Err(MapError::KeyNotFound | MapError::OutOfBounds { .. }) => {}
                Err(error) => return Err(cause(error)),
            }
        }
        Ok(found)
    }
}

impl MapStore for Kernel {
    fn load(&self) -> Result<Tables, StoreError> {
        let fail = |map| move |source| StoreError::Read { map, source };
        Ok(Tables {
            attachments: array(&self.attachments).map_err(fail(maps::ATTACHMENTS))?,
            tagged: hash(&self.tagged).map_err(fail(maps::TAGGED))?,
            locals: hash(&self.locals).map_err(fail(maps::LOCALS))?,
            endpoints: array(&self.endpoints).map_err(fail(maps::ENDPOINTS))?,
            rules: hash(&self.rules).map_err(fail(maps::RULES))?,
            limits: array(&self.limits).map_err(fail(maps::LIMITS))?,
            services: array(&self.services).map_err(fail(maps::SERVICES))?,
            listeners: hash(&self.listeners).map_err(fail(maps::LISTENERS))?,
            backends: array(&self.backends).map_err(fail(maps::BACKENDS))?,
            targets: array(&self.targets).map_err(fail(maps::TARGETS))?,
            sources: array(&self.sources).map_err(fail(maps::SOURCES))?,
            devices: self.load_devices().map_err(fail(maps::DEVICES))?,
        })
    }

    fn quiesce(&mut self) {
        bpf::quiesce();
    }

    fn apply(&mut self, op: &Op) -> Result<(), StoreError> {
        let done = match op {
            Op::Device(Change::Put(index, ())) => set_device(&mut self.devices, *index, *index),
            // Interface 0 is how the kernel spells an empty entry.
            Op::Device(Change::Remove(index)) => set_device(&mut self.devices, *index, 0),
            Op::Source(change) => set(&mut self.sources, change),
            Op::Target(change) => set(&mut self.targets, change),
            Op::Service(change) => set(&mut self.services, change),
            Op::Backend(change) => set(&mut self.backends, change),
            Op::Listener(change) => insert(&mut self.listeners, change),
            Op::Rule(change) => insert(&mut self.rules, change),
            Op::Limits(change) => set(&mut self.limits, change),
            Op::Endpoint(change) => set(&mut self.endpoints, change),
            Op::Local(change) => insert(&mut self.locals, change),
            Op::Attachment(change) => set(&mut self.attachments, change),
            Op::Tagged(change) => insert(&mut self.tagged, change),
        };
        done.map_err(|source| StoreError::Write { op: Box::new(*op), source })
    }
}

fn typed<M: TryFrom<Map, Error = MapError>>(
    opened: &Maps,
    map: &'static str,
) -> Result<M, StoreError> {
    Map::from_map_data(opened.duplicate(map)?)
        .and_then(M::try_from)
        .map_err(|error| StoreError::Mismatch { map, source: Box::new(error) })
}

fn array<V>(map: &Array<MapData, V>) -> io::Result<BTreeMap<u32, V>>
where
    V: Pod + FromBytes + Default + PartialEq,
{
    let mut found = BTreeMap::new();
    batch::for_each_index(map.map(), |index, value: V| {
        if value != V::default() {
            found.insert(index, value);
        }
    })?;
    Ok(found)
}

fn hash<K, V>(map: &HashMap<MapData, K, V>) -> io::Result<BTreeMap<K, V>>
where
    K: Pod + FromBytes + Ord,
    V: Pod + FromBytes,
{
    let mut found = BTreeMap::new();
    batch::for_each(map.map(), |key: K, value: V| {
        found.insert(key, value);
    })?;
    Ok(found)
}

fn set<V: Pod + Default>(map: &mut Array<MapData, V>, change: &Change<u32, V>) -> io::Result<()> {
    let (index, value) = match change {
        Change::Put(index, value) => (*index, *value),
        Change::Remove(index) => (*index, V::default()),
    };
    map.set(index, value, 0).map_err(cause)
}

fn insert<K: Pod, V: Pod>(
    map: &mut HashMap<MapData, K, V>,
    change: &Change<K, V>,
) -> io::Result<()> {
    let done = match change {
        Change::Put(key, value) => map.insert(key, value, 0),
        Change::Remove(key) => map.remove(key),
    };
    match done {
        Err(error) => {
            let error = cause(error);
            let absent = error.raw_os_error() == Some(libc::ENOENT);
            if absent && matches!(change, Change::Remove(_)) { Ok(()) } else { Err(error) }
        }
        Ok(()) => Ok(()),
    }
}

fn set_device(map: &mut DevMap<MapData>, index: u32, ifindex: u32) -> io::Result<()> {
    map.set(index, ifindex, None, 0).map_err(|error| match error {
        aya::maps::xdp::XdpMapError::MapError(error) => cause(error),
        aya::maps::xdp::XdpMapError::ChainedProgramNotSupported => io::Error::other(error),
    })
}

/// The kernel's error number, which says more than its wrapping.
fn cause(error: MapError) -> io::Error {
    if let MapError::SyscallError(call) = error { call.io_error } else { io::Error::other(error) }
}
