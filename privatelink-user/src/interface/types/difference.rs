//! What another configuration would change.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A configuration to compare with the one in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The files, in the order in which they are read; absent for what is on the daemon's disk.
    pub files: Option<Vec<SourceText>>,
}

/// One file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceText {
    /// The path that messages show; the daemon does not read it.
    pub path: String,
    /// The content of the file.
    pub text: String,
}

/// The difference between the configuration in force and another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// The objects that are added, changed or removed.
    pub changes: Vec<Change>,
    /// Live flows that are cut, each counted once.
    pub flows_cut: u64,
    /// Live flows whose target drains: they may end by themselves until it has drained, and are cut
    /// then.
    pub flows_drained: u64,
    /// Map entries to write.
    pub entries: u64,
    /// Parts of the other configuration that have no effect.
    pub warnings: Vec<String>,
}

/// An object that is added, changed or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// What happens to it.
    pub action: Action,
    /// `gateway`, `principal`, `network`, `service`, `listener`, `target` or `endpoint`.
    pub kind: String,
    /// The name of the object; for listeners and targets, after the name of their service.
    pub name: String,
    /// The keys that differ, with the old and the new value.
    pub what: Vec<String>,
    /// Live flows that this cuts.
    pub flows_cut: u64,
    /// Live flows whose target drains because of it.
    pub flows_drained: u64,
    /// Where a service or an endpoint is declared, or was: file and line, or `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The object is new.
    Added,
    /// The object stays, with other values.
    Changed,
    /// The object is removed.
    Removed,
}
