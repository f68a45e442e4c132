//! Where the content of the maps lives: in the kernel, or in memory for tests.

use std::io;

use thiserror::Error;

use crate::datapath::{op::Op, tables::Tables};

/// The maps that the daemon writes.
pub trait MapStore {
    /// Reads all of them. Zero values of arrays are left out: they are what an absent index reads
    /// as.
    ///
    /// # Errors
    /// When a map cannot be read.
    fn load(&self) -> Result<Tables, StoreError>;

    /// Does one write. Removing what is not there is no failure.
    ///
    /// # Errors
    /// When the map does not take it.
    fn apply(&mut self, op: &Op) -> Result<(), StoreError>;

    /// Waits until every packet has left that met the maps as they were.
    fn quiesce(&mut self);
}

/// A map that cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A map is missing from the object, or is not of the kind that the daemon knows.
    #[error("cannot use the map {map}: the BPF object and the daemon do not belong together")]
    Mismatch {
        /// Its name.
        map: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<aya::maps::MapError>,
    },
    /// The object lacks a map.
    #[error("the BPF object has no map {map}: it and the daemon do not belong together")]
    Missing {
        /// Its name.
        map: &'static str,
    },
    /// A map's file descriptor could not be duplicated.
    #[error("cannot open the map {map} once more: raise the limit of open files (LimitNOFILE)")]
    Duplicate {
        /// Its name.
        map: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A whole map could not be read.
    #[error("cannot read the map {map}")]
    Read {
        /// Its name.
        map: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One entry could not be written.
    #[error("cannot {op}{}", advice(.source))]
    Write {
        /// What was to be done.
        op: Box<Op>,
        /// Why it was not.
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
