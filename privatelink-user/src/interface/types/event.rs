//! Events, and which of them are asked for.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::events::About;

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
