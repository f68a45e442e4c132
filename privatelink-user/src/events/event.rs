//! An event before it is published.

use std::collections::BTreeSet;

use super::kind::Kind;
use crate::{interface::types::About, model::Name};

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
