//! The names and files that are watched, and what was found.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;

use crate::{
    model::{DnsName, Interface, Name},
    state::targets::Listed,
};

/// A name to resolve, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchedName {
    /// The name to resolve.
    pub name: DnsName,
    /// The name servers to ask; empty means those of the host.
    pub servers: Vec<IpAddr>,
    /// Interface and subnets of the targets' network: name servers in these subnets are reached
    /// through this interface.
    pub network: Option<(Interface, Vec<IpNet>)>,
}

/// A file that lists a service's targets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchedFile {
    /// The service whose targets it lists.
    pub service: Name,
    /// Path of the file.
    pub file: PathBuf,
}

/// A new result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The addresses of a name, or why it cannot be resolved.
    Name(WatchedName, Result<Vec<IpAddr>, String>),
    /// The targets in a file, or why it cannot be read.
    File(WatchedFile, Result<Vec<Listed>, String>),
}
