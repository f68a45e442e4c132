//! Events, and queries for them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The number: higher than that of every earlier event, also across restarts of the daemon.
    pub number: u64,
    /// The time of the event, in RFC 3339.
    pub time: String,
    /// The kind of change, such as `connection-requested`.
    pub kind: String,
    /// The change on one line, for people.
    pub text: String,
    /// The objects that it is about.
    #[serde(flatten)]
    pub about: About,
}

/// What an event is about, for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// The endpoint, or the endpoint whose connection it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The address of a target or of a next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The consumer of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The provider of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Who caused it: a unix user, or `rule` for the configuration and timeouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The reason that was given, or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of the attempt in the audit log that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<u64>,
}

/// A program or host that events are delivered to. The counts begin when the daemon is started or
/// the subscriber is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Subscriber {
    /// The path of the program, or the URL.
    pub name: String,
    /// Events delivered.
    pub delivered: u64,
    /// Events whose delivery failed.
    pub failed: u64,
    /// Events dropped because too many were waiting.
    pub dropped: u64,
}

/// A query for events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Only those with a higher number; without it, the latest.
    pub after: Option<u64>,
    /// Only those of this kind, or of a group of kinds such as `connection`.
    pub kind: Option<String>,
    /// No more than this many.
    #[param(minimum = 1, maximum = 10_000, default = 100)]
    pub limit: Option<u32>,
}

impl EventQuery {
    /// How many events an answer has unless the query says otherwise.
    pub const DEFAULT_LIMIT: u32 = 100;
    /// The most that one answer has.
    pub const MAX_LIMIT: u32 = 10_000;
}

/// What a principal has caused beyond its budgets since the daemon was started: it was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    /// The principal.
    pub principal: String,
    /// Events that were neither stored nor delivered.
    pub events: u64,
    /// Refused flows without a record in the flow log.
    pub refused_flows: u64,
    /// Events without a line in the daemon's log.
    #[serde(default)]
    pub unlogged_events: u64,
    /// Events that a hook or the webhook did not get because too many were waiting.
    #[serde(default)]
    pub undelivered_events: u64,
}
