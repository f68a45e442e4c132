//! Other gateways that share the state, while they have another configuration than this one.
//!
//! Files are changed on one gateway after the other. What this gateway's files do not declare, or
//! no longer, another one may still serve: so nothing of that is forgotten, and no rule moves a
//! connection, until all have the same files again. What the API has deleted is gone for all.

use std::collections::BTreeSet;

use crate::model::Name;

/// What of the state has to outlast a configuration that does not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Whether other gateways have another configuration.
    differs: bool,
    /// The endpoints that the change at hand removes for all.
    removed: BTreeSet<Name>,
}

impl Beside {
    /// No other gateway, or none that has another configuration.
    pub const fn none() -> Self {
        Self { differs: false, removed: BTreeSet::new() }
    }

    /// Gateways with another configuration, and the endpoints that are removed for all.
    pub fn others(removed: BTreeSet<Name>) -> Self {
        Self { differs: true, removed }
    }

    /// Whether others may use things that this configuration does not have.
    pub fn spares_all(&self) -> bool {
        self.differs
    }

    /// Whether others may use this endpoint, though this configuration does not have it.
    pub fn spares(&self, endpoint: &str) -> bool {
        self.differs && !self.removed.contains(endpoint)
    }
}
