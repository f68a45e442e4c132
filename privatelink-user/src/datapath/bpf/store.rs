//! The maps in the kernel.

use std::{collections::BTreeMap, io};

use aya::{
    Pod,
    maps::{
        DevMap, IterableMap, Map, MapData, MapError,
        lpm_trie::{Key, LpmTrie},
        xdp::XdpMapError,
    },
};
use nix::net::if_::if_nameindex;
use privatelink_common::{Addr, SenderKey, maps};
use zerocopy::FromBytes;

use super::{batch, maps::Maps, sys};
use crate::datapath::{
    op::{Change, Op},
    store::{MapStore, StoreError},
    tables::{MapTables, for_each_map},
};

type Array<V> = aya::maps::Array<MapData, V>;
type Hash<K, V> = aya::maps::HashMap<MapData, K, V>;
type Prefixes<V> = LpmTrie<MapData, [u32; 5], V>;
type Devices = DevMap<MapData>;

macro_rules! define_kernel {
    ($($(#[$doc:meta])* $variant:ident $field:ident: $kind:ident $(<$($of:ty),+>)? = $name:ident;)+) => {
        /// The [`MapStore`] that packets see.
        ///
        /// It has file descriptors of its own, so it may outlive the
        /// [`Datapath`](super::Datapath) that it came from.
        pub struct Kernel {
            $($field: $kind $(<$($of),+>)?,)+
        }

        impl Kernel {
            /// Opens the maps of a loaded object once more.
            pub(super) fn of(opened: &Maps) -> Result<Self, StoreError> {
                Ok(Self { $($field: typed(opened, maps::$name)?,)+ })
            }
        }

        impl MapStore for Kernel {
            fn load(&self) -> Result<MapTables, StoreError> {
                let fail = |map| move |source| StoreError::Read { map, source };
                Ok(MapTables { $($field: self.$field.read().map_err(fail(maps::$name))?,)+ })
            }

            fn apply(&mut self, op: &Op) -> Result<(), StoreError> {
                let done = match op {
                    $(Op::$variant(change) => self.$field.write(change),)+
                };
                done.map_err(|source| StoreError::Write { op: Box::new(*op), source })
            }

            fn quiesce(&mut self) {
                sys::quiesce();
            }
        }
    };
}
for_each_map!(define_kernel);

fn typed<M: TryFrom<Map, Error = MapError>>(
    opened: &Maps,
    map: &'static str,
) -> Result<M, StoreError> {
    Map::from_map_data(opened.duplicate(map)?)
        .and_then(M::try_from)
        .map_err(|error| StoreError::Mismatch { map, source: Box::new(error) })
}

/// A map of the kernel as plain data.
trait KernelMap<K, V> {
    /// Reads every entry.
    fn read(&self) -> io::Result<BTreeMap<K, V>>;

    /// Writes one entry. Removing one that is absent is no failure.
    fn write(&mut self, change: &Change<K, V>) -> io::Result<()>;
}

impl<V: Pod + FromBytes + Default + PartialEq> KernelMap<u32, V> for Array<V> {
    fn read(&self) -> io::Result<BTreeMap<u32, V>> {
        let mut found = BTreeMap::new();
        batch::for_each_index(self.map(), |index, value: V| {
            if value != V::default() {
                found.insert(index, value);
            }
        })?;
        Ok(found)
    }

    fn write(&mut self, change: &Change<u32, V>) -> io::Result<()> {
        let (index, value) = match change {
            Change::Put(index, value) => (*index, *value),
            Change::Remove(index) => (*index, V::default()),
        };
        self.set(index, value, 0).map_err(cause)
    }
}

impl<K: Pod + FromBytes + Ord, V: Pod + FromBytes> KernelMap<K, V> for Hash<K, V> {
    fn read(&self) -> io::Result<BTreeMap<K, V>> {
        let mut found = BTreeMap::new();
        batch::for_each(self.map(), |key: K, value: V| {
            found.insert(key, value);
        })?;
        Ok(found)
    }

    fn write(&mut self, change: &Change<K, V>) -> io::Result<()> {
        match change {
            Change::Put(key, value) => self.insert(key, value, 0).map_err(cause),
            Change::Remove(key) => match self.remove(key).map_err(cause) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
                done => done,
            },
        }
    }
}

impl<V: Pod> KernelMap<SenderKey, V> for Prefixes<V> {
    /// One by one: in the batches of this kind of map a position is a whole key.
    fn read(&self) -> io::Result<BTreeMap<SenderKey, V>> {
        let entry = |found: Result<(Key<[u32; 5]>, V), MapError>| {
            let (key, value) = found.map_err(cause)?;
            let [network, a, b, c, d] = key.data();
            let address = Addr::from_words([a, b, c, d]);
            Ok((SenderKey { length: key.prefix_len(), network, address }, value))
        };
        self.iter().map(entry).collect()
    }

    fn write(&mut self, change: &Change<SenderKey, V>) -> io::Result<()> {
        let kernels = |key: &SenderKey| {
            let [a, b, c, d] = key.address.words();
            Key::new(key.length, [key.network, a, b, c, d])
        };
        match change {
            Change::Put(key, value) => self.insert(&kernels(key), value, 0).map_err(cause),
            Change::Remove(key) => match self.remove(&kernels(key)).map_err(cause) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
                done => done,
            },
        }
    }
}

impl KernelMap<u32, ()> for Devices {
    /// The kernel drops the entries of interfaces that are removed, so only indices of existing
    /// interfaces can be in the map; asking for those is less work than for all 65,536.
    fn read(&self) -> io::Result<BTreeMap<u32, ()>> {
        let mut found = BTreeMap::new();
        for interface in &if_nameindex()? {
            let index = interface.index();
            match self.get(index, 0) {
                Ok(_) => {
                    found.insert(index, ());
                }
                Err(MapError::KeyNotFound | MapError::OutOfBounds { .. }) => {}
                Err(error) => return Err(cause(error)),
            }
        }
        Ok(found)
    }

    fn write(&mut self, change: &Change<u32, ()>) -> io::Result<()> {
        let (index, ifindex) = match change {
            Change::Put(index, ()) => (*index, *index),
            // Interface 0 is how the kernel writes an empty entry.
            Change::Remove(index) => (*index, 0),
        };
        self.set(index, ifindex, None, 0).map_err(|error| match error {
            XdpMapError::MapError(error) => cause(error),
            XdpMapError::ChainedProgramNotSupported => io::Error::other(error),
        })
    }
}

/// The kernel's error number, which says more than its wrapping.
fn cause(error: MapError) -> io::Error {
    if let MapError::SyscallError(call) = error { call.io_error } else { io::Error::other(error) }
}
