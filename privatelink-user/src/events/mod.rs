//! What has changed, for people, programs and other hosts that want to know.
//!
//! Whoever sees a change publishes an [`Event`] on the [`Bus`]. It keeps the latest of them, also
//! while the daemon is restarted, and wakes those who follow. To tell of something new, add a kind
//! and its row in `docs/events.md`.

mod bus;
mod connections;
mod drains;
mod file;
mod kind;
mod observation;
mod subscribers;

use std::collections::BTreeSet;

use crate::{interface::types::About, model::Name};

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
