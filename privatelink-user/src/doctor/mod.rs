//! What of a host keeps a gateway from working, or makes it slow or unsafe; and what to do.
//!
//! Everything is read from files below one directory, `/` on a real host, so that tests plant their
//! faults in a directory of their own. No daemon is needed.

mod certificates;
mod clock;
mod finding;
mod interfaces;
mod kernel;
mod names;
mod pins;
mod storage;
mod view;

pub use self::{
    finding::{Finding, Severity},
    view::{HostView, Room},
};

use crate::model::Model;

/// Looks at everything. Without a configuration, at what concerns any gateway.
pub fn examine(host: &HostView, model: Option<&Model>) -> Vec<Finding> {
    let mut found = kernel::examine(host, model);
    found.extend(clock::examine(host));
    if let Some(model) = model {
        found.extend(interfaces::examine(host, model));
        found.extend(storage::examine(host, model));
        found.extend(pins::examine(host, model));
        found.extend(names::examine(host, model));
        found.extend(certificates::examine(host, model));
    }
    found.sort_by_key(|finding| finding.severity);
    found
}

#[cfg(test)]
mod tests;
