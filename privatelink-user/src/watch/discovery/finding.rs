//! What is looked for, and what was found.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;

use crate::{
    model::{DnsName, Interface, Name},
    state::targets::Listed,
};

/// A name, and who is asked for its addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchedName {
    /// The name.
    pub name: DnsName,
    /// The name servers; none means those of the host.
    pub servers: Vec<IpAddr>,
    /// The targets' network: servers in its subnets are asked by its interface.
    pub network: Option<(Interface, Vec<IpNet>)>,
}

/// A service's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchedFile {
    /// The service.
    pub service: Name,
    /// The file.
    pub file: PathBuf,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A name has these addresses, or why that is not known.
    Name(WatchedName, Result<Vec<IpAddr>, String>),
    /// A file lists these targets, or why that is not known.
    File(WatchedFile, Result<Vec<Listed>, String>),
}
