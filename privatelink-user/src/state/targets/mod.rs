//! What is known of targets beyond the configuration: where those are that have names, and which
//! of them are healthy.
//!
//! Health checks, name servers and files of targets run outside of this room. What they last
//! reported is a value, [`Inputs`], from which everything else is computed.

mod drains;
mod following;
mod inputs;
mod known;

use privatelink_common::maps;

use crate::model::Name;

pub use drains::{Drain, Drains, ServiceTarget, indexed, kept};
pub use inputs::{Condition, Health, Inputs, Listed, TargetKey};
pub use known::{Behind, addresses, behind, checked, is_unhealthy, key, names, own_ports, served};

/// A service whose targets find no room in the backend table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no room for the targets of the service `{service}`: the gateway's table has \
     {} places, and each target takes at least one in every service with several; use fewer \
     targets, or fewer weights that differ",
    maps::MAX_BACKENDS
)]
pub struct NoRoom {
    /// Name of the service.
    pub service: Name,
}
