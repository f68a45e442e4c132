//! Connections, and decisions about them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The relation between an endpoint and its service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    /// The endpoint that asks for the connection.
    pub endpoint: String,
    /// The service that it leads to.
    pub service: String,
    /// The consumer: the principal that owns the endpoint's network.
    pub principal: String,
    /// `pending-acceptance`, `available`, `rejected` or `expired`.
    pub state: String,
    /// What the site that has the service has decided, in the same words: packets pass if both are
    /// `available`. Absent for services of this gateway, and while the site does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_state: Option<String>,
    /// Since when, in RFC 3339.
    pub since: String,
    /// The reason that was given for this state.
    pub reason: String,
    /// What the consumer tells the provider; absent if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The provider: the principal that decides.
    pub provider: String,
    /// The consumer's network.
    pub network: String,
    /// Who caused this state: a unix user, or `rule` for the configuration and timeouts.
    pub by: String,
    /// When this state expires, in RFC 3339; absent if it does not.
    pub until: Option<String>,
    /// Whether flows that were opened before may still end by themselves.
    pub draining: bool,
    /// All changes of the state, the latest last; left out of lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Step>,
    /// After a decision: the gateways of the group on which it may not be in force yet, because
    /// they have not confirmed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<String>,
}

/// A change of a connection's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// The time of the change, in RFC 3339.
    pub at: String,
    /// Who caused it: a unix user, or `rule` for the configuration and timeouts.
    pub by: String,
    /// The numeric id of that user.
    pub uid: Option<u32>,
    /// The state before; absent for the first.
    pub from: Option<String>,
    /// The state after.
    pub to: String,
    /// When that state was to expire, in RFC 3339; absent if it was not.
    pub until: Option<String>,
    /// The reason that was given.
    pub reason: String,
}

/// The provider accepts a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The reason, on one line, for the record.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
    /// How long the connection stays available; without it, until it is rejected.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 315_360_000)]
    pub for_seconds: Option<u64>,
}

impl Grant {
    /// The longest grant that expires, in seconds: ten years.
    pub const LONGEST: u64 = 315_360_000;
}

/// A decision that only takes a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reasoned {
    /// The reason, on one line, for the record.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

impl Reasoned {
    /// The longest reason, in bytes.
    pub const LONGEST: usize = 500;
}
