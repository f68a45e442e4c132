//! How much of the metrics a page shows.

/// What a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What concerns the gateway as a whole, without the name of any network, service or endpoint.
    Totals,
    /// The series of networks, services and endpoints.
    Tenants,
    /// Both.
    Everything,
}

impl Detail {
    /// Whether it includes what concerns the gateway as a whole.
    pub fn shows_gateway(self) -> bool {
        self != Self::Tenants
    }

    /// Whether it includes the series of networks, services and endpoints.
    pub fn shows_tenants(self) -> bool {
        self != Self::Totals
    }
}
