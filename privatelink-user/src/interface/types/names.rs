//! What a network is served of names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The names of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkNames {
    /// The network.
    pub network: String,
    /// Where they can be asked for there: the gateway's own addresses.
    pub addresses: Vec<String>,
    /// The name of the gateway's name server.
    pub server: String,
    /// How long answers may be remembered, in seconds.
    pub ttl: u32,
    /// How long the word that there is no such name may be remembered, in seconds.
    pub negative_ttl: u32,
    /// The zones that the gateway answers for, by apex.
    pub zones: Vec<NamesZone>,
}

/// What there is at and below one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamesZone {
    /// That name.
    pub apex: String,
    /// The records.
    pub records: Vec<NamesRecord>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamesRecord {
    /// Whose it is; `*` may stand for its first label.
    pub name: String,
    /// Its type, such as `AAAA`.
    pub r#type: String,
    /// What it says, as zone files have it.
    pub data: String,
}
