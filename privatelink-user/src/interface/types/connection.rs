//! Connections, and what is decided about them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The relation between an endpoint and its service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    /// The endpoint.
    pub endpoint: String,
    /// The service.
    pub service: String,
    /// The consumer, which asks.
    pub principal: String,
    /// `pending-acceptance`, `available`, `rejected` or `expired`.
    pub state: String,
    /// Since when, in RFC 3339.
    pub since: String,
    /// Why.
    pub reason: String,
    /// The provider, which decides.
    pub provider: String,
    /// The consumer's network.
    pub network: String,
    /// Who brought it there: a unix user, or `rule` for the configuration and time.
    pub by: String,
    /// When time will end this state, in RFC 3339; absent if it does not.
    pub until: Option<String>,
    /// Whether flows from before go on for a while.
    pub draining: bool,
    /// How it came there, the latest last; left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Step>,
}

/// A step in the life of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// When, in RFC 3339.
    pub at: String,
    /// By whom: a unix user, or `rule`.
    pub by: String,
    /// The number of that user.
    pub uid: Option<u32>,
    /// The state before; absent for the first.
    pub from: Option<String>,
    /// The state after.
    pub to: String,
    /// When time was to end that.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
}

/// How a connection is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Why: one line.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
    /// For how long; without it, until it is rejected.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 315_360_000)]
    pub for_seconds: Option<u64>,
}

impl Grant {
    /// The longest that a grant with an end can be: ten years.
    pub const LONGEST: u64 = 315_360_000;
}

/// Why something is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reasoned {
    /// Why: one line.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

impl Reasoned {
    /// The longest reason, in bytes.
    pub const LONGEST: usize = 500;
}
