//! The gateways of the group that run, as they say themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{etcd::Revision, model::Name, timestamp::Timestamp};

/// What a gateway says of itself, for as long as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its release.
    pub version: String,
    /// Tells two configurations apart.
    pub configuration: String,
    /// When its daemon began.
    pub since: Timestamp,
}

/// A gateway of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fellow {
    /// What it says of itself.
    pub hello: Hello,
    /// The last change of the group that is in force there; 0 is none yet.
    pub applied: Revision,
}

/// The gateways that run.
#[derive(Clone, Debug, Default)]
pub(super) struct Fellows {
    hellos: BTreeMap<Name, Hello>,
    applied: BTreeMap<Name, Revision>,
}

impl Fellows {
    /// Takes in what a gateway says, or that it no longer runs.
    pub fn hello(&mut self, gateway: Name, value: Option<&[u8]>) {
        match value.and_then(|value| serde_json::from_slice(value).ok()) {
            Some(hello) => drop(self.hellos.insert(gateway, hello)),
            None => drop(self.hellos.remove(&gateway)),
        }
    }

    /// Takes in how far a gateway has come.
    pub fn applied(&mut self, gateway: Name, value: Option<&[u8]>) {
        match value.and_then(|value| serde_json::from_slice(value).ok()) {
            Some(revision) => drop(self.applied.insert(gateway, revision)),
            None => drop(self.applied.remove(&gateway)),
        }
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<Name, Fellow> {
        let fellow = |(name, hello): (&Name, &Hello)| {
            let applied = self.applied.get(name).copied().unwrap_or_default();
            (name.clone(), Fellow { hello: hello.clone(), applied })
        };
        self.hellos.iter().map(fellow).collect()
    }

    /// Whether one besides `own` has another configuration than this.
    pub fn differ(&self, own: &Name, configuration: &str) -> bool {
        let mut others = self.hellos.iter().filter(|(name, _)| *name != own);
        others.any(|(_, hello)| hello.configuration != configuration)
    }
}
