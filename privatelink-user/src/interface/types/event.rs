//! Events, and which of them are asked for.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number: higher than that of any event before it, also over restarts of the daemon.
    pub number: u64,
    /// When, in RFC 3339.
    pub time: String,
    /// What kind of change.
    pub kind: String,
    /// The change in words, on one line.
    pub text: String,
    /// What it is about.
    #[serde(flatten)]
    pub about: About,
}

/// What an event is about: the names and words that programs look for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// An endpoint, or the connection of that endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// A service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// A network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// An interface.
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
    /// Who did it: a unix user, or `rule` for the configuration and time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A program or host that is told of each event, since the daemon was started or that was
/// configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Subscriber {
    /// The program's path, or the address.
    pub name: String,
    /// Events that it took.
    pub delivered: u64,
    /// Events that it did not take.
    pub failed: u64,
    /// Events that it was not told of, since too many were waiting.
    pub dropped: u64,
}

/// Which events are asked for.
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
    /// How many events an answer has unless the question says otherwise.
    pub const DEFAULT_LIMIT: u32 = 100;
    /// The most that one answer has.
    pub const MAX_LIMIT: u32 = 10_000;
}
