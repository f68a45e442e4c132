//! A test of an endpoint's way.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What a test walks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TestQuery {
    /// The client whose packets are tried: an address of the consumer's network. Only the consumer
    /// and administrators may choose one.
    #[param(value_type = Option<String>)]
    pub from: Option<IpAddr>,
    /// The listener's port; without one, the first port of each listener.
    #[param(minimum = 1)]
    pub port: Option<u16>,
}

/// The way through an endpoint, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointTest {
    /// The endpoint.
    pub endpoint: String,
    /// The service that it leads to.
    pub service: String,
    /// Whether no step fails.
    pub passed: bool,
    /// The first step that fails; absent if none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<TestStep>,
    /// All steps, in the order in which a packet meets them. Of the side that is not the caller's,
    /// there is one step for all.
    pub steps: Vec<TestStep>,
    /// The frames that were tried, as far as the caller may see them.
    pub walks: Vec<TestWalk>,
    /// Packets to the endpoint that were refused since the maps were made, by reason; absent if the
    /// caller is not its consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drops: Option<BTreeMap<String, u64>>,
    /// How long the test took.
    pub milliseconds: u64,
}

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestStep {
    /// Its name, such as `listener`: the page `docs/test.md` lists all.
    pub step: String,
    /// Whose side it is on: `consumer`, `gateway` or `provider`.
    pub side: String,
    /// `passed`; `failed`; `doubtful`, where packets pass and something is wrong even so; or
    /// `not-checked`.
    pub outcome: String,
    /// What was found, for people.
    pub detail: String,
    /// Who can mend it: `consumer`, `operator` or `provider`; absent if nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What to do about it, for people; absent if nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A frame that the programs have judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestWalk {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The client, `IP:PORT`; absent if the caller is the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The endpoint's address and the listener's port; absent if the caller is the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The source address and port from which it would be forwarded; absent if it was refused, or if
    /// the caller is the consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The target, `IP:PORT`, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The drop reason, or `other-side` if that concerns the other party; absent if it was
    /// forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
