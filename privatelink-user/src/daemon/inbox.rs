//! What a gateway hears from the host, from health checks and from discovery.

use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    host::Events,
    watch::{discovery::Finding, health::HealthReports},
};

/// The receiving ends that the event loop listens on.
pub(super) struct Inbox {
    /// Changes of interfaces, addresses and neighbours.
    pub events: Events,
    /// What health checks found out.
    pub reports: HealthReports,
    /// Addresses of names, and contents of target lists.
    pub findings: UnboundedReceiver<Finding>,
}
