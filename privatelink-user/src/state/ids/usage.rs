//! What one index is used for: the unit in which indices are kept and shared.

use serde::{Deserialize, Serialize};

/// The kinds of things that have indices of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexKind {
    /// Networks.
    Network,
    /// Endpoints.
    Endpoint,
    /// Services.
    Service,
    /// Targets.
    Target,
}

impl IndexKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Network, Self::Endpoint, Self::Service, Self::Target];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Endpoint => "endpoint",
            Self::Service => "service",
            Self::Target => "target",
        }
    }
}

/// What an index is used for from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexUse {
    /// It is that of this thing.
    Of(String),
    /// It is free; it was that of this thing.
    Freed(Option<String>),
}
