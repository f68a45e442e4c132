//! What has changed, for people, programs and other hosts that want to know.
//!
//! Whoever sees a change publishes an [`Event`] on the [`Bus`]. It keeps the latest of them, also
//! while the daemon is restarted, and wakes those who follow. To tell of something new, add a kind
//! and its row in `docs/events.md`.

mod bus;
mod connections;
mod drains;
mod kept;
mod kind;
mod observation;
mod subscribers;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::Name;

pub use bus::{Bus, Found, Wanted};
pub use connections::of_connections;
pub use drains::{of_drained, of_drains};
pub use kind::Kind;
pub use observation::Observation;
pub use subscribers::run_hook;

/// Something that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind of change.
    pub kind: Kind,
    /// The change in words, on one line.
    pub text: String,
    /// What it is about.
    pub about: About,
    /// Whose affair it is, besides the administrators'.
    pub audience: BTreeSet<Name>,
}

/// What an event is about: the names and words that programs look for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// An endpoint, or the connection of that endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// A service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// A network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// An interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The address of a target or of a next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The consumer of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The provider of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Who did it: a unix user, or `rule` for the configuration and time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Event {
    /// A change that only administrators hear of.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        let (about, audience) = (About::default(), BTreeSet::new());
        Self { kind, text: text.into(), about, audience }
    }

    /// Says what it is about.
    #[must_use]
    pub fn about(mut self, about: About) -> Self {
        self.about = about;
        self
    }

    /// Lets a principal hear of it.
    #[must_use]
    pub fn seen_by(mut self, principal: &Name) -> Self {
        self.audience.insert(principal.clone());
        self
    }
}
