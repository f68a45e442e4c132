//! What principals have, and may have.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much a principal has, and may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrincipalUse {
    /// The principal.
    pub name: String,
    /// What it has.
    pub used: Owned,
    /// What it may have.
    pub quota: PrincipalQuota,
}

/// How much a principal has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Owned {
    /// Services.
    pub services: u64,
    /// Endpoints in its networks.
    pub endpoints: u64,
    /// Targets of its services that the configuration lists.
    pub targets: u64,
    /// Live flows through its endpoints.
    pub flows: u64,
}

/// How much a principal may have; what is absent has no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrincipalQuota {
    /// Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<u64>,
    /// Endpoints in its networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u64>,
    /// Targets of its services that the configuration lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<u64>,
    /// Flows through its endpoints at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<u64>,
}

impl PrincipalQuota {
    /// The limits that there are, by the words of the configuration.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("services", self.services),
            ("endpoints", self.endpoints),
            ("targets", self.targets),
            ("flows", self.flows),
        ];
        all.into_iter().filter_map(|(what, limit)| Some((what, limit?)))
    }
}

impl Owned {
    /// The amounts, by the words of the configuration.
    pub fn amounts(&self) -> [(&'static str, u64); 4] {
        [
            ("services", self.services),
            ("endpoints", self.endpoints),
            ("targets", self.targets),
            ("flows", self.flows),
        ]
    }
}
