//! How much a principal may have.

use super::number::{Number, Quantity};

/// How many things of a kind; none at all is a limit, too.
pub type Count = Number<0, 1_000_000_000>;

/// How much a principal may have; `None` is no limit.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Services.
    pub services: Option<Count>,
    /// Endpoints in its networks.
    pub endpoints: Option<Count>,
    /// Targets of its services that the configuration lists.
    pub targets: Option<Count>,
    /// Flows through its endpoints at a time, all together.
    pub flows: Option<Quantity>,
}
