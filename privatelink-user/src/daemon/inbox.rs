//! What a gateway hears from the host, from health checks and from discovery.

use std::{future::pending, sync::Arc};

use tokio::sync::{Notify, mpsc::UnboundedReceiver};

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
    /// Is notified when other gateways have changed the state that they share with this one.
    pub bell: Option<Arc<Notify>>,
}

/// Waits until other gateways have changed something.
pub(super) async fn rung(bell: Option<&Notify>) {
    match bell {
        Some(bell) => bell.notified().await,
        None => pending().await,
    }
}
