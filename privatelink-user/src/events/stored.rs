//! An event after it was published.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{interface::types::Event, model::Name};

/// A published event and the principals that may see it; one line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    #[serde(flatten)]
    pub event: Event,
    pub audience: BTreeSet<Name>,
}
