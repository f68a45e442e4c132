//! From parsed TOML to the raw configuration, collecting every fault on the way.
//!
//! serde would stop at the first unknown key or wrong type of a document. Here a section asks
//! for its keys one by one; a fault costs that one value, and the rest is still looked at.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use ipnet::IpNet;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    address::{address, prefix},
    diagnostic::{Fault, Report},
    schema::Described,
    source::{Located, Location},
    suggestion::suggestion,
};
use crate::model::{
    DnsName, DnsPattern, Interface, Invalid, Name, Number, Period, Port, PortRange, Quantity,
    StatusCodes, WebhookUrl,
};

/// A value on its way from the parser to a section.
pub(super) struct Entry<'a> {
    pub key: &'a str,
    pub at: Location,
    pub value: &'a DeValue<'a>,
}

impl<'a> Entry<'a> {
    fn new(key: &'a str, file: usize, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { key, at: Location::new(file, value.span()), value: value.get_ref() }
    }

    /// Decodes into a value that remembers its place.
    pub fn located<T: Decode>(&self, report: &mut Report) -> Option<Located<T>> {
        T::decode(self, report).map(|value| Located { value, at: self.at })
    }

    /// The elements of a list; `None` if this is something else.
    pub fn elements(&self) -> Option<impl Iterator<Item = Entry<'a>>> {
        let (key, file) = (self.key, self.at.file);
        let array = self.value.as_array()?;
        Some(array.iter().map(move |element| Entry::new(key, file, element)))
    }

    /// The members of a table, each with the place of its key; `None` if this is something else.
    pub fn members(&self) -> Option<impl Iterator<Item = (Location, Entry<'a>)>> {
        let file = self.at.file;
        let DeValue::Table(table) = self.value else { return None };
        Some(table.iter().map(move |(key, value)| {
            (Location::new(file, key.span()), Entry::new(key.get_ref(), file, value))
        }))
    }

    /// Reports that the value is of a type that the key does not take.
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
        report.push(
            Fault::new(format!("`{}` must be {expected}, not {found}", self.key))
                .at(self.at)
                .label(format!("expected {expected}")),
        );
        None
    }

    /// Keeps a value, or reports why it was refused.
    pub fn accept<T>(&self, result: Result<T, Invalid>, report: &mut Report) -> Option<T> {
        result
            .map_err(|invalid| {
                report.push(
                    Fault::new(format!("`{}`: {invalid}", self.key))
                        .at(self.at)
                        .help(invalid.help()),
                );
            })
            .ok()
    }

    /// Picks one of a few words.
    pub fn choose<T: Copy>(&self, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let expected = quoted(&words);
        let Some(text) = self.value.as_str() else {
            return self.mistyped(&format!("one of {expected}"), report);
        };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        report.push(
            Fault::new(format!("`{}` cannot be `{text}`", self.key))
                .at(self.at)
                .help(suggestion(text, &words).unwrap_or_else(|| format!("use one of {expected}"))),
        );
        None
    }

    fn integer(&self, report: &mut Report) -> Option<i64> {
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

    fn text(&self, expected: &str, report: &mut Report) -> Option<&'a str> {
        let DeValue::String(text) = self.value else { return self.mistyped(expected, report) };
        Some(text)
    }
}

/// What can be read from a TOML value. `None` means that the report says why not.
pub(super) trait Decode: Described + Sized {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self>;
}

/// Values written as a string.
macro_rules! from_text {
    ($($type:ty: $expected:literal, $parse:expr;)*) => {$(
        impl Decode for $type {
            fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
                let text = entry.text($expected, report)?;
                entry.accept($parse(text), report)
            }
        }
    )*};
}

from_text! {
    String: "a string", |text: &str| Ok(text.to_owned());
    Name: "a name in quotes", Name::from_str;
    Interface: "an interface name in quotes", Interface::from_str;
    DnsName: "a DNS name in quotes", DnsName::from_str;
    DnsPattern: "a DNS name in quotes", DnsPattern::from_str;
    IpAddr: "an IP address in quotes", address;
    IpNet: "an address prefix in quotes", prefix;
    SocketAddr: "an address and port in quotes", |text: &str| {
        text.parse().map_err(|_| Invalid::SocketAddress(text.into()))
    };
    WebhookUrl: "an http or https address in quotes", WebhookUrl::from_str;
    PathBuf: "a path in quotes", |text: &str| {
        let path = text.starts_with('/').then(|| text.into());
        path.ok_or_else(|| Invalid::RelativePath(text.into()))
    };
}

impl<const MIN: u64, const MAX: u64> Decode for Period<MIN, MAX> {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let text = entry.text("a duration such as \"30s\"", report)?;
        entry.accept(text.parse(), report)
    }
}

impl<const MIN: u32, const MAX: u32> Decode for Number<MIN, MAX> {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let number = entry.integer(report)?;
        entry.accept(number.try_into(), report)
    }
}

impl Decode for Port {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let number = entry.integer(report)?;
        entry.accept(number.try_into(), report)
    }
}

/// Values written as a number or as a string.
macro_rules! from_number_or_text {
    ($($type:ty: $expected:literal;)*) => {$(
        impl Decode for $type {
            fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
                if entry.value.is_integer() {
                    let number = entry.integer(report)?;
                    return entry.accept(number.try_into(), report);
                }
                let text = entry.text($expected, report)?;
                entry.accept(text.parse(), report)
            }
        }
    )*};
}

from_number_or_text! {
    PortRange: "a port or a range such as \"9092-9099\"";
    Quantity: "a number, or one with a unit such as \"10G\"";
    StatusCodes: "a status code or several such as \"200-399\"";
}

impl Decode for bool {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        entry.value.as_bool().or_else(|| entry.mistyped("true or false", report))
    }
}

/// A list that may be empty.
pub(super) type List<T> = Vec<Located<T>>;

impl<T: Decode> Decode for List<T> {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        match entry.elements() {
            // Every element is looked at, so that all their faults are reported.
            Some(elements) => {
                Some(elements.filter_map(|element| element.located(report)).collect())
            }
            None if entry.value.is_table() => {
                entry.mistyped("a list of tables (double brackets, `[[…]]`)", report)
            }
            None => entry.mistyped("a list in brackets", report),
        }
    }
}

/// A list with at least one element.
#[derive(Debug)]
pub(super) struct OneOrMore<T>(pub List<T>);

impl<T: Decode> Decode for OneOrMore<T> {
    fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
        let list: List<T> = List::decode(entry, report)?;
        let written = entry.elements()?.count();
        if written == 0 {
            report.push(
                Fault::new(format!("`{}` is an empty list", entry.key)).at(entry.at).help(
                    "put at least one element into it, or leave the key out if it is optional",
                ),
            );
        }
        // Half a list would make other parts look wrong that fit the whole one.
        (written > 0 && list.len() == written).then_some(Self(list))
    }
}

/// The keys of one table, each to be asked for once.
pub(super) struct Section<'a> {
    title: &'static str,
    at: Location,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Opens a table; `title` is how it is written in a file.
    pub fn open(entry: &Entry<'a>, title: &'static str, report: &mut Report) -> Option<Self> {
        let DeValue::Table(table) = entry.value else {
            return entry.mistyped(&format!("a table such as {title}"), report);
        };
        Some(Self { title, at: entry.at, table, known: Vec::new(), refused: Vec::new() })
    }

    /// A key that may be left out.
    pub fn optional<T: Decode>(
        &mut self,
        key: &'static str,
        report: &mut Report,
    ) -> Option<Located<T>> {
        self.known.push(key);
        let value = Entry::new(key, self.at.file, self.table.get(key)?).located(report);
        if value.is_none() {
            self.refused.push(key);
        }
        value
    }

    /// A key that must be there.
    pub fn required<T: Decode>(
        &mut self,
        key: &'static str,
        example: &str,
        report: &mut Report,
    ) -> Option<Located<T>> {
        if !self.table.contains_key(key) {
            report.push(
                Fault::new(format!("{} has no `{key}`", self.title))
                    .at(self.at)
                    .help(format!("add `{example}`")),
            );
        }
        self.optional(key, report)
    }

    /// Reports the keys that nobody asked for, and returns those whose value was refused.
    pub fn close(self, report: &mut Report) -> Vec<&'static str> {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let help = suggestion(name, &self.known)
                    .unwrap_or_else(|| format!("the keys here are {}", quoted(&self.known)));
                report.push(
                    Fault::new(format!("{} has no key `{name}`", self.title))
                        .at(Location::new(self.at.file, key.span()))
                        .label("unknown key")
                        .help(help),
                );
            }
        }
        self.refused
    }
}

/// A table that was read with [`section!`].
pub(super) trait Table {
    /// All keys of the table.
    #[cfg(test)]
    const KEYS: &[&str];

    /// Whether `key` is there, but with a value that the report complains about.
    fn refused(&self, key: &str) -> bool;
}

/// Declares a table of the configuration and how it is read.
///
/// Every key becomes a field that is empty where the key is absent or its value was refused;
/// of refused values, and of absent keys that are `required`, the report tells.
macro_rules! section {
    (
        $(#[$doc:meta])*
        $name:ident $title:literal {
            $( required $needed:ident: $needed_type:ty = $example:literal, )*
            $( optional $field:ident: $type:ty, )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(in crate::config) struct $name {
            $( pub $needed: Option<Located<$needed_type>>, )*
            $( pub $field: Option<Located<$type>>, )*
            refused: Vec<&'static str>,
        }

        impl Table for $name {
            #[cfg(test)]
            const KEYS: &[&str] = &[$( stringify!($needed), )* $( stringify!($field), )*];

            fn refused(&self, key: &str) -> bool {
                self.refused.contains(&key)
            }
        }

        impl Described for $name {
            fn schema() -> serde_json::Value {
                schema::table($title, vec![
                    $( (stringify!($needed), <$needed_type>::schema(), true), )*
                    $( (stringify!($field), <$type>::schema(), false), )*
                ])
            }
        }

        impl Decode for $name {
            fn decode(entry: &Entry<'_>, report: &mut Report) -> Option<Self> {
                let mut section = Section::open(entry, $title, report)?;
                $( let $needed = section.required(stringify!($needed), $example, report); )*
                $( let $field = section.optional(stringify!($field), report); )*
                let refused = section.close(report);
                Some(Self { $( $needed, )* $( $field, )* refused })
            }
        }
    };
}
pub(super) use section;

fn quoted(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}
