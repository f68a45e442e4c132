//! The names that a network is served.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The names of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkNames {
    /// The network.
    pub network: String,
    /// The addresses of the gateway's name server in that network.
    pub addresses: Vec<String>,
    /// The name of the gateway's name server.
    pub server: String,
    /// How long answers may be cached, in seconds.
    pub ttl: u32,
    /// How long it may be cached that a name does not exist, in seconds.
    pub negative_ttl: u32,
    /// The zones that the gateway answers for, by apex.
    pub zones: Vec<NamesZone>,
}

/// The names at and below one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamesZone {
    /// The name at the top of the zone.
    pub apex: String,
    /// The records of the zone.
    pub records: Vec<NamesRecord>,
}

/// A record of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamesRecord {
    /// The name; its first label may be `*`.
    pub name: String,
    /// The type, such as `AAAA`.
    pub r#type: String,
    /// The value, as in a zone file.
    pub data: String,
}
