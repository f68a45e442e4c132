//! What a consumer may connect to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A service that the caller may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CatalogueEntry {
    /// The name of the service.
    pub name: String,
    /// What it is; absent if its provider has not written that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Words of its provider's, with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The principal that provides it.
    pub provider: String,
    /// The protocols and ports on which it is offered, as `tcp/80`.
    pub listeners: Vec<String>,
    /// Who decides about a connection of the caller's: `manual`, the provider, or `automatic`.
    pub acceptance: String,
    /// The names under which the caller's networks find it, once connected.
    pub private_names: Vec<String>,
    /// The caller's endpoints that lead to it.
    pub connections: Vec<CatalogueConnection>,
}

/// An endpoint that leads to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CatalogueConnection {
    /// The name of the endpoint.
    pub endpoint: String,
    /// The state of its connection: `available`, `pending-acceptance`, `rejected` or `expired`.
    pub state: String,
}
