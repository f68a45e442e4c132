//! An event before it is published.

use std::collections::BTreeSet;

use super::kind::Kind;
use crate::{interface::types::About, model::Name};

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The kind of change.
    pub kind: Kind,
    /// The change as one line of text.
    pub text: String,
    /// The objects that the change concerns.
    pub about: About,
    /// The principals that may see it, besides administrators.
    pub audience: BTreeSet<Name>,
    /// The principal that has caused it, whose budget and room it takes; `None` is the gateway.
    pub maker: Option<Name>,
}

impl Event {
    /// An event that only administrators see.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        let (about, audience) = (About::default(), BTreeSet::new());
        Self { kind, text: text.into(), about, audience, maker: None }
    }

    /// Sets the objects that the change concerns.
    #[must_use]
    pub fn about(mut self, about: About) -> Self {
        self.about = about;
        self
    }

    /// Lets a principal see it. The first one is taken for its maker.
    #[must_use]
    pub fn seen_by(mut self, principal: &Name) -> Self {
        self.maker.get_or_insert_with(|| principal.clone());
        self.audience.insert(principal.clone());
        self
    }

    /// Charges a principal with it.
    #[must_use]
    pub fn made_by(mut self, principal: &Name) -> Self {
        self.maker = Some(principal.clone());
        self
    }
}
