//! What another configuration would change.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A configuration that is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Its files, in the order in which they are read; absent for what is on the daemon's disk.
    pub files: Option<Vec<SourceText>>,
}

/// One file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceText {
    /// How messages name it; nothing is read there.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// What is different between the configuration in force and another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// Each thing that is added, changed or removed.
    pub changes: Vec<Change>,
    /// Live flows that end, each counted once.
    pub flows_cut: u64,
    /// Live flows that may end by themselves until their target has drained, and end then.
    pub flows_drained: u64,
    /// Entries of maps that are written.
    pub entries: u64,
    /// What the other configuration says without effect.
    pub warnings: Vec<String>,
}

/// One thing that is different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// What becomes of it.
    pub action: Action,
    /// `gateway`, `principal`, `network`, `service`, `listener`, `target` or `endpoint`.
    pub kind: String,
    /// Which one; of listeners and targets, behind the name of their service.
    pub name: String,
    /// What is different about it, in words.
    pub what: Vec<String>,
    /// Live flows that end because of this.
    pub flows_cut: u64,
    /// Live flows whose target drains because of this.
    pub flows_drained: u64,
}

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Added,
    /// It stays and is different.
    Changed,
    /// It goes.
    Removed,
}
