//! The audit log.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A line of the audit log: an attempt to change something, what became of it, or a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// The number: one more than that of the line before.
    pub number: u64,
    /// The time, in RFC 3339.
    pub time: String,
    /// The SHA-256 of the line before, as hexadecimal digits; zeros in the first line.
    pub previous: String,
    /// `attempt`: written before anything changes; `result`: what became of it; `refused`: a request
    /// that the caller had no right to.
    pub kind: String,
    /// The number of the attempt that a result is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// Who asked, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// The principals that the caller acts for; none of an administrator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<String>,
    /// The number of the unix user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The id of the access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The SHA-256 of the client certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The address of the caller; absent on the control socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What was asked, such as `accept`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// The object that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub old: Option<serde_json::Value>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub new: Option<serde_json::Value>,
    /// `done`, `refused` or `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Why it was refused, or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Refusals of the same caller since its last one that were only counted: there were too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted: Option<u64>,
}

/// What the whole audit log says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditCheck {
    /// How many files there are.
    pub files: u64,
    /// How many lines.
    pub entries: u64,
    /// The number of the last line.
    pub last: u64,
    /// The SHA-256 of the last line: if it is kept elsewhere, lines that are cut off are missed.
    pub digest: String,
    /// The first thing that is wrong, with file and line; absent if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A query for entries of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only those with a higher number; without it, the latest.
    pub after: Option<u64>,
    /// No more than this many.
    #[param(minimum = 1, maximum = 10_000, default = 100)]
    pub limit: Option<u32>,
}

impl AuditQuery {
    /// How many entries an answer has unless the query says otherwise.
    pub const DEFAULT_LIMIT: u32 = 100;
    /// The most that one answer has.
    pub const MAX_LIMIT: u32 = 10_000;
}
