//! An event after it was published.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::kind::{CONNECTION, is_of};
use crate::{interface::types::Event, model::Name};

/// A published event and the principals that may see it; one line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    #[serde(flatten)]
    pub event: Event,
    pub audience: BTreeSet<Name>,
    /// The principal whose room it takes. Earlier releases wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<Name>,
}

#[cfg(test)]
impl StoredEvent {
    /// An event of this kind that a principal has caused; without a name, the gateway itself.
    pub fn sample(number: u64, kind: &str, maker: &str) -> Self {
        let (time, text, about) = Default::default();
        let event = Event { number, time, kind: kind.into(), text, about };
        Self { event, audience: BTreeSet::new(), maker: maker.parse().ok() }
    }
}

impl StoredEvent {
    /// The principal whose room it takes; `None` is the gateway itself.
    pub fn maker(&self) -> Option<&Name> {
        self.maker.as_ref().or_else(|| self.audience.first())
    }

    /// Whether it is about a connection: who decided what.
    pub fn is_of_connection(&self) -> bool {
        is_of(&self.event.kind, CONNECTION)
    }
}
