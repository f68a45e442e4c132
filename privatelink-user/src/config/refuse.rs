//! Faults that a stage after validation finds, shown at the line to change.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::{Diagnostics, Fault, Report},
    source::{Location, ObjectKind, Sources},
};
use crate::model::Name;

impl Sources {
    /// A diagnostic about `key` of the named object.
    ///
    /// `key` leads through nested tables and lists: `vlan`, `health_check.port`,
    /// `listener.0.protocol`. The deepest part of it that is written in a file is underlined.
    pub fn refuse(
        &self,
        kind: ObjectKind,
        name: &Name,
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostics {
        let at = Locator::new(self).find(kind, name, key);
        let mut report = Report::default();
        report.push(Fault { at, help: Some(help.into()), ..Fault::new(message) });
        Diagnostics::new(report, self.clone())
    }
}

/// The sources, parsed once for any number of searches.
pub(super) struct Locator<'a>(Vec<Spanned<DeTable<'a>>>);

impl<'a> Locator<'a> {
    /// Parses the sources.
    pub fn new(sources: &'a Sources) -> Self {
        Self(sources.files.iter().map(|file| DeTable::parse_recoverable(&file.text).0).collect())
    }

    /// Where `key` of the named object is written, or the innermost table on the way to it.
    pub fn find(&self, kind: ObjectKind, name: &Name, key: &str) -> Option<Location> {
        let documents = self.0.iter().enumerate();
        documents.into_iter().find_map(|(number, document)| {
            locate(document, kind, name, key).map(|span| Location::new(number, span))
        })
    }
}

/// Finds the value of `key`, or the innermost table on the way to it that exists.
fn locate(
    document: &Spanned<DeTable<'_>>,
    kind: ObjectKind,
    name: &Name,
    key: &str,
) -> Option<Range<usize>> {
    let section = document.get_ref().get(kind.word())?;
    let named = |element: &&Spanned<DeValue<'_>>| {
        let written = element.get_ref().get("name");
        written.and_then(|value| value.get_ref().as_str()) == Some(name.as_str())
    };
    let mut found = match section.get_ref().as_array() {
        Some(elements) => elements.iter().find(named)?,
        None => section,
    };
    for part in key.split('.') {
        let next = match part.parse::<usize>() {
            Ok(index) => found.get_ref().get(index),
            Err(_) => found.get_ref().get(part),
        };
        let Some(next) = next else { break };
        found = next;
    }
    Some(found.span())
}
