//! Objects that the API makes: services and endpoints.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{Connection, Difference};

/// Services and endpoints, each with the keys of its table in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectSet {
    /// The services: the keys of `[[service]]`, listeners and targets as lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub service: Vec<Map<String, Value>>,
    /// The endpoints: the keys of `[[endpoint]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub endpoint: Vec<Map<String, Value>>,
}

/// The keys of a table in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct Keys(pub Map<String, Value>);

/// What a request has written, or would write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Written {
    /// The objects that the request is about.
    pub objects: Vec<WrittenObject>,
    /// What that changes, as `privatelink plan` shows it.
    pub difference: Difference,
    /// The connections of these endpoints that wait for a decision, and whose it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Connection>,
    /// Whether this is only what would be written.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether a request with the same `Idempotency-Key` has been answered before; this is its
    /// answer.
    #[serde(default)]
    pub repeated: bool,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrittenObject {
    /// `service` or `endpoint`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `added`, `changed`, `removed` or `unchanged`.
    pub action: String,
    /// Tells its content apart from others: the value of `ETag`; absent if it is removed.
    pub tag: Option<String>,
}

/// How a request writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WriteQuery {
    /// `1` only shows what would be written.
    #[param(minimum = 0, maximum = 1)]
    pub dry_run: Option<u8>,
}

/// The conditions of a request, in its head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct WriteHead {
    /// Write only if the object has this `ETag`; `*` stands for any.
    #[serde(rename = "if-match")]
    pub if_match: Option<String>,
    /// `*`: write only if there is no such object.
    #[serde(rename = "if-none-match")]
    pub if_none_match: Option<String>,
    /// A text of the client's own: a request that is sent again under it is answered again, and not
    /// executed again.
    #[serde(rename = "idempotency-key")]
    pub idempotency_key: Option<String>,
}

/// How a reload treats objects of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReloadQuery {
    /// `1`: objects of the API that the files declare as well become the files'.
    #[param(minimum = 0, maximum = 1)]
    pub adopt: Option<u8>,
}

/// Part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Only those that follow this one, by name.
    pub after: Option<String>,
    /// At most so many; a header `Link` leads to the next ones.
    #[param(minimum = 1, maximum = 10_000)]
    pub limit: Option<u32>,
}

impl PageQuery {
    /// The highest `limit`.
    pub const MOST: u32 = 10_000;
}
