//! The gateways that share a store.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The group of gateways that this one belongs to, as it knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fleet {
    /// The name of the group.
    pub group: String,
    /// The name of this gateway in it.
    pub gateway: String,
    /// Whether the store is reached.
    pub reached: bool,
    /// Why it is not; absent if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How long ago the store has last answered; absent if it has not since the daemon began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_milliseconds: Option<u64>,
    /// The last change of the group that this gateway knows.
    pub revision: i64,
    /// The gateways that run, by name.
    pub gateways: Vec<FleetGateway>,
}

/// A gateway of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetGateway {
    /// Its name.
    pub name: String,
    /// The release of its daemon.
    pub version: String,
    /// When its daemon began, in RFC 3339.
    pub since: String,
    /// The last change of the group that is in force there.
    pub applied: i64,
    /// Whether its files say the same as those of this gateway about networks, services and
    /// endpoints.
    pub same_configuration: bool,
}
