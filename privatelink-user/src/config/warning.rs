//! What is worth a look before a configuration is applied, each with its place and a remedy.

use std::fmt;

use serde_json::Value;

use super::{
    diagnostic::{Diagnostics, Fault, Report},
    refuse::Locator,
    source::{ObjectKind, Sources},
};
use crate::model::Name;

/// Warnings whose place is looked up: the text is parsed for that, and nobody reads more.
const PLACED: usize = 100;

/// Something that the operator should look at; the configuration is used as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The object that it is about.
    pub about: (ObjectKind, Name),
    /// The key to look at, as a path such as `listener.0.port`.
    pub key: &'static str,
    /// What is odd.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Message and advice on one line.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

impl Warning {
    /// A warning about a key of the named object.
    pub(super) fn of(
        (kind, name, key): (ObjectKind, &Name, &'static str),
        what: impl fmt::Display,
        help: impl Into<String>,
    ) -> Self {
        let message = format!("the {} `{name}`: {what}", kind.word());
        Self { about: (kind, name.clone()), key, message, help: help.into() }
    }
}

/// The warnings about one configuration, with the lines that they are about.
#[derive(Clone, Debug)]
pub struct Warnings {
    list: Vec<Warning>,
    shown: Diagnostics,
}

impl Warnings {
    /// Looks up the places of warnings.
    pub fn new(list: Vec<Warning>, sources: &Sources) -> Self {
        let mut report = Report::default();
        let locator = if list.is_empty() { None } else { Some(Locator::new(sources)) };
        for (number, warning) in list.iter().enumerate() {
            let (kind, name) = &warning.about;
            let locator = locator.as_ref().filter(|_| number < PLACED);
            let at = locator.and_then(|locator| locator.find(*kind, name, warning.key));
            let help = Some(warning.help.clone());
            report.push(Fault { at, help, ..Fault::new(warning.message.clone()) });
        }
        Self { shown: Diagnostics::in_this_order(report, sources.clone()), list }
    }

    /// What each is about and says.
    pub fn list(&self) -> &[Warning] {
        &self.list
    }

    /// Each on one line: place, message and advice. Those about other objects than `is_meant` knows
    /// are left out.
    pub fn lines(&self, is_meant: impl Fn(ObjectKind, &Name) -> bool) -> Vec<String> {
        let lines = self.list.iter().zip(self.shown.lines());
        let meant = lines.filter(|(warning, _)| is_meant(warning.about.0, &warning.about.1));
        meant.map(|(_, line)| line).collect()
    }

    /// Shows each with its line, for a terminal if `color`; nothing if there are none.
    pub fn render(&self, color: bool) -> String {
        if self.list.is_empty() { String::new() } else { self.shown.render_warnings(color) }
    }

    /// Each as an object, as faults are.
    pub fn to_json(&self) -> Vec<Value> {
        self.shown.to_json()
    }
}
