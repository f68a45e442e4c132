//! The store that several gateways share.

use std::path::PathBuf;

use super::name::Name;
use crate::etcd::Endpoint;

/// Which store, and who the gateway is there.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedStore {
    /// The members of etcd, in the order in which they are asked.
    pub etcd: Vec<Endpoint>,
    /// How the two ends prove who they are; `None` only within one host.
    pub tls: Option<StoreTls>,
    /// The gateways that share it.
    pub group: Name,
    /// The gateway's name among them.
    pub name: Name,
}

/// Files in PEM.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreTls {
    /// The authority that has signed the members' certificates.
    pub ca: PathBuf,
    /// The gateway's certificate, whose common name is its user in etcd.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}
