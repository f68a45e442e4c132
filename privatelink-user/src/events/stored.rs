//! An event after it was published.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{interface::types::Event, model::Name};

/// An event that was published, and who may hear of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    #[serde(flatten)]
    pub event: Event,
    pub audience: BTreeSet<Name>,
}
