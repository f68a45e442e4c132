//! What holds the content of the maps: the kernel, or memory for tests.

use std::io;

use thiserror::Error;

use crate::datapath::{op::Op, tables::MapTables};

/// The maps that the daemon writes.
pub trait MapStore {
    /// Reads all of them. Zero values of arrays are left out, because an absent index reads as
    /// zero.
    ///
    /// # Errors
    /// When a map cannot be read.
    fn load(&self) -> Result<MapTables, StoreError>;

    /// Does one write. Removing an absent entry is not an error.
    ///
    /// # Errors
    /// When the kernel refuses the write.
    fn apply(&mut self, op: &Op) -> Result<(), StoreError>;

    /// Waits until no packet is in flight that has read the maps before the latest write.
    fn quiesce(&mut self);
}

/// A map that cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A map is of another kind than the daemon expects.
    #[error("cannot use the map {map}: the BPF object and the daemon are of different builds")]
    Mismatch {
        /// Name of the map.
        map: &'static str,
        /// Why the loader library refuses the map.
        #[source]
        source: Box<aya::maps::MapError>,
    },
    /// The object lacks a map.
    #[error("the BPF object has no map {map}: it and the daemon are of different builds")]
    Missing {
        /// Name of the map.
        map: &'static str,
    },
    /// A map's file descriptor could not be duplicated.
    #[error(
        "cannot duplicate the descriptor of the map {map}: raise the limit of open files (LimitNOFILE)"
    )]
    Duplicate {
        /// Name of the map.
        map: &'static str,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// A whole map could not be read.
    #[error("cannot read the map {map}")]
    Read {
        /// Name of the map.
        map: &'static str,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
    /// One entry could not be written.
    #[error("cannot {op}{}", advice(.source))]
    Write {
        /// The write that was refused.
        op: Box<Op>,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
}

/// What to do about a refused write.
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::E2BIG) => ": the map is full, see the limits in the documentation",
        Some(libc::ENODEV | libc::EINVAL) => ": is the interface still there?",
        Some(libc::EPERM | libc::EACCES) => ": the daemon needs CAP_BPF and CAP_NET_ADMIN",
        _ => "",
    }
}
