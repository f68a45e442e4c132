//! A value that the TOML parser has read, with the key and the location for messages about it.

use toml::{Spanned, de::DeValue};

use super::{
    diagnostic::{Fault, Report},
    source::{Located, Location},
    suggestion::suggestion,
};
use crate::model::Invalid;

/// A parsed value that is about to be decoded.
pub(super) struct TomlValue<'a> {
    pub key: &'a str,
    pub at: Location,
    pub value: &'a DeValue<'a>,
}

impl<'a> TomlValue<'a> {
    pub fn new(key: &'a str, file: usize, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { key, at: Location::new(file, value.span()), value: value.get_ref() }
    }

    /// The elements of a list; `None` if this is something else.
    pub fn elements(&self) -> Option<impl Iterator<Item = TomlValue<'a>>> {
        let (key, file) = (self.key, self.at.file);
        let array = self.value.as_array()?;
        Some(array.iter().map(move |element| TomlValue::new(key, file, element)))
    }

    /// The members of a table, each with the location of its key; `None` if this is something
    /// else.
    pub fn members(&self) -> Option<impl Iterator<Item = Located<TomlValue<'a>>>> {
        let file = self.at.file;
        let DeValue::Table(table) = self.value else { return None };
        Some(table.iter().map(move |(key, value)| Located {
            at: Location::new(file, key.span()),
            value: TomlValue::new(key.get_ref(), file, value),
        }))
    }

    /// Reports that the value has a type that the key does not accept.
    pub fn mistyped<T>(&self, expected: &str, report: &mut Report) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let fault = Fault::new(format!("`{}` must be {expected}, not {found}", self.key));
        let fault = fault.at(self.at).label(format!("expected {expected}"));
        report.push(match self.retyped(expected) {
            Some(instead) => fault.help(format!("write {instead}")),
            None => fault,
        });
        None
    }

    /// The value in the type that is expected, if it is clear what was meant.
    fn retyped(&self, expected: &str) -> Option<String> {
        let key = self.key;
        if let DeValue::String(text) = self.value {
            let is_number = expected == "a whole number" && text.parse::<i64>().is_ok();
            let is_bool = expected == "true or false" && ["true", "false"].contains(&&**text);
            return if is_number || is_bool {
                Some(format!("`{key} = {text}`, without quotes"))
            } else if expected == "a list in brackets" {
                Some(format!("`{key} = [\"{text}\"]`"))
            } else {
                None
            };
        }
        if let DeValue::Integer(number) = self.value
            && expected.starts_with("a duration")
        {
            return Some(format!("`{key} = \"{}s\"` if it is seconds", number.as_str()));
        }
        if self.value.is_table() && expected.starts_with("a list of tables") {
            return Some(format!("`[[{key}]]`, one for each, instead of `[{key}]`"));
        }
        let title = expected.strip_prefix("a table such as [").filter(|_| self.value.is_array())?;
        Some(format!("`[{title}`, in single brackets"))
    }

    /// Reports text that is neither the one word nor the other shape that the key accepts.
    pub fn mistyped_or_unknown<T>(&self, expected: &str, report: &mut Report) -> Option<T> {
        let Some(text) = self.value.as_str() else { return self.mistyped(expected, report) };
        report.push(
            Fault::new(format!("`{}` cannot be `{text}`", self.key))
                .at(self.at)
                .help(format!("use {expected}")),
        );
        None
    }

    /// Keeps a valid value, and reports why an invalid one was refused.
    pub fn accept<T>(&self, result: Result<T, Invalid>, report: &mut Report) -> Option<T> {
        result
            .map_err(|invalid| {
                let fault = |message: String| Fault::new(message).at(self.at).help(invalid.help());
                // A name stands wherever its object is meant: it is wrong once.
                if matches!(invalid, Invalid::LongName { .. }) {
                    report.push_once(fault(invalid.to_string()));
                } else if matches!(invalid, Invalid::Name(_)) {
                    report.push_once(fault(format!("`{}`: {invalid}", self.key)));
                } else {
                    report.push(fault(format!("`{}`: {invalid}", self.key)));
                }
            })
            .ok()
    }

    /// Picks the value that one of a few words stands for.
    pub fn choose<T: Copy>(&self, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let expected = listed(&words);
        let Some(text) = self.value.as_str() else {
            return self.mistyped(&format!("one of {expected}"), report);
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        report.push(Fault::new(format!("`{}` cannot be `{text}`", self.key)).at(self.at).help(
            match suggestion(text, &words) {
                Some(meant) => format!("{meant} The words are {expected}"),
                None => format!("use one of {expected}"),
            },
        ));
        None
    }

    pub fn integer(&self, report: &mut Report) -> Option<i64> {
        let DeValue::Integer(number) = self.value else {
            return self.mistyped("a whole number", report);
        };
        let value = i64::from_str_radix(number.as_str(), number.radix());
        if value.is_err() {
            report.push(
                Fault::new(format!("`{}` is too large a number", self.key))
                    .at(self.at)
                    .help("use a number below 2 to the power of 63"),
            );
        }
        value.ok()
    }

    pub fn text(&self, expected: &str, report: &mut Report) -> Option<&'a str> {
        let DeValue::String(text) = self.value else { return self.mistyped(expected, report) };
        Some(text)
    }
}

/// Words as a message lists them.
pub(super) fn listed(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}
