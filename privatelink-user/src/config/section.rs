//! The tables of a configuration: each key is declared once.
//!
//! A declaration with [`section!`] makes the struct that a table is decoded into, its JSON schema
//! and its rows of the reference.

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use super::{
    decode::Decode,
    diagnostic::{Fault, Report},
    source::{Located, Location},
    suggestion::nearest,
    toml_value::{TomlValue, listed},
};

/// A table that was declared with [`section!`].
pub(super) trait Section {
    /// The keys in the order of the reference.
    fn keys() -> Vec<Key>;

    /// Whether `key` is there, but with a value that the report complains about.
    fn refused(&self, key: &str) -> bool;
}

/// What schema and reference say of a key.
pub(super) struct Key {
    pub name: &'static str,
    /// The type, for the reference.
    pub kind: String,
    /// The type, for an editor.
    pub schema: Value,
    pub absence: Absence,
    /// Sentences of Markdown.
    pub meaning: &'static str,
}

/// What it means that a key is left out.
pub(super) enum Absence {
    /// It is a fault.
    Refused,
    /// This, in Markdown.
    Means(String),
}

/// The schema of a table with these keys.
pub(super) fn schema(keys: Vec<Key>) -> Value {
    let required = keys.iter().filter(|key| matches!(key.absence, Absence::Refused));
    let required: Vec<_> = required.map(|key| key.name).collect();
    let mut properties = Map::new();
    for mut key in keys {
        if let Some(object) = key.schema.as_object_mut() {
            let meaning = key.meaning.trim();
            let description = match &key.absence {
                Absence::Refused => meaning.to_owned(),
                Absence::Means(default) => {
                    format!("{meaning} Default: {}.", default.replace('`', ""))
                }
            };
            object.insert("description".into(), json!(description));
        }
        properties.insert(key.name.to_owned(), key.schema);
    }
    let mut table = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty()
        && let Some(object) = table.as_object_mut()
    {
        object.insert("required".into(), json!(required));
    }
    table
}

/// Decodes the keys of one table, each of which is asked for once.
pub(super) struct SectionReader<'a> {
    title: &'static str,
    at: Location,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
    /// Required keys that are not there, each with an example.
    missing: Vec<(&'static str, String)>,
}

impl<'a> SectionReader<'a> {
    /// Opens a table; `title` is how it is written in a file.
    pub fn open(value: &TomlValue<'a>, title: &'static str, report: &mut Report) -> Option<Self> {
        let DeValue::Table(table) = value.value else {
            return value.mistyped(&format!("a table such as {title}"), report);
        };
        let (known, refused, missing) = (Vec::new(), Vec::new(), Vec::new());
        Some(Self { title, at: value.at, table, known, refused, missing })
    }

    /// The value of a key; `None` if it is left out or refused.
    pub fn optional<T: Decode>(
        &mut self,
        key: &'static str,
        report: &mut Report,
    ) -> Option<Located<T>> {
        self.known.push(key);
        let value = TomlValue::new(key, self.at.file, self.table.get(key)?);
        let decoded = T::located(&value, report);
        if decoded.is_none() {
            self.refused.push(key);
        }
        decoded
    }

    /// The value of a key; `default`, at the location of the table, if it is left out or refused.
    pub fn or_default<T: Decode>(
        &mut self,
        key: &'static str,
        default: T,
        report: &mut Report,
    ) -> Located<T> {
        self.optional(key, report).unwrap_or(Located { value: default, at: self.at })
    }

    /// The value of a key; it is a fault if it is left out.
    pub fn required<T: Decode>(
        &mut self,
        key: &'static str,
        example: &str,
        report: &mut Report,
    ) -> Option<Located<T>> {
        if !self.table.contains_key(key) {
            self.missing.push((key, example.to_owned()));
        }
        self.optional(key, report)
    }

    /// Reports the keys that were not asked for and those that are missing, and returns those that
    /// are there in some form: with a value that was refused, or mistyped.
    pub fn close(mut self, report: &mut Report) -> Vec<&'static str> {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let absent = self.known.iter().filter(|known| !self.table.contains_key(**known));
                let meant = nearest(name, absent).copied();
                // One mistake is one fault: the key is there, under another name.
                self.missing.retain(|(missing, _)| Some(*missing) != meant);
                self.refused.extend(meant);
                let help = match meant {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the keys here are {}", listed(&self.known)),
                };
                report.push(
                    Fault::new(format!("{} has no key `{name}`", self.title))
                        .at(Location::new(self.at.file, key.span()))
                        .label("unknown key")
                        .help(help),
                );
            }
        }
        for (key, example) in self.missing {
            report.push(
                Fault::new(format!("{} has no `{key}`", self.title))
                    .at(self.at)
                    .help(format!("add `{example}`")),
            );
        }
        self.refused
    }
}

/// Declares a table of the configuration.
///
/// ```text
/// section! {
///     /// What the table is.
///     Network "[[network]]" {
///         /// What the key means, for schema and reference, as sentences.
///         name: Name = required r#"name = "acme""#,
///         /// ..
///         vlan: VlanId = optional "untagged",
///         /// ..
///         dns: bool = default false,
///     }
/// }
/// ```
///
/// - `required` is followed by an example for the message about a missing key. The field is an
///   `Option<Located<T>>`.
/// - `optional` is followed by what it means that the key is left out. The field is an
///   `Option<Located<T>>`.
/// - `default` is followed by the value that a missing key has. The field is a `Located<T>`; a
///   default has the location of the table.
///
/// `as "…"` behind the type replaces what the reference says of the type. A value that was
/// refused is reported, and counts as left out; [`Section::refused`] tells the two apart.
macro_rules! section {
    (@field default $type:ty) => { Located<$type> };
    (@field $presence:ident $type:ty) => { Option<Located<$type>> };

    (@read $reader:ident $report:ident $key:ident: $type:ty = required $example:expr) => {
        $reader.required::<$type>(stringify!($key), $example, $report)
    };
    (@read $reader:ident $report:ident $key:ident: $type:ty = optional $absence:expr) => {
        $reader.optional::<$type>(stringify!($key), $report)
    };
    (@read $reader:ident $report:ident $key:ident: $type:ty = default $value:expr) => {
        $reader.or_default::<$type>(stringify!($key), $value, $report)
    };

    (@absence $type:ty = required $example:expr) => { Absence::Refused };
    (@absence $type:ty = optional $absence:expr) => { Absence::Means(String::from($absence)) };
    (@absence $type:ty = default $value:expr) => {
        Absence::Means(<$type as Written>::written(&$value))
    };

    (@kind $type:ty) => { <$type as Decode>::kind() };
    (@kind $type:ty, $kind:literal) => { String::from($kind) };

    (
        $(#[doc = $about:literal])+
        $name:ident $title:literal {
            $(
                $(#[doc = $meaning:literal])+
                $key:ident: $type:ty $(as $kind:literal)? = $presence:ident $argument:expr,
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub(in crate::config) struct $name {
            $(
                $(#[doc = $meaning])+
                pub $key: section!(@field $presence $type),
            )+
            refused: Vec<&'static str>,
        }

        impl Section for $name {
            fn keys() -> Vec<Key> {
                vec![$(Key {
                    name: stringify!($key),
                    kind: section!(@kind $type $(, $kind)?),
                    schema: <$type as Decode>::schema(),
                    absence: section!(@absence $type = $presence $argument),
                    meaning: concat!($($meaning),+),
                },)+]
            }

            fn refused(&self, key: &str) -> bool {
                self.refused.contains(&key)
            }
        }

        impl Decode for $name {
            fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
                let mut reader = SectionReader::open(value, $title, report)?;
                $( let $key = section!(@read reader report $key: $type = $presence $argument); )+
                let refused = reader.close(report);
                Some(Self { $( $key, )+ refused })
            }

            fn schema() -> serde_json::Value {
                section::schema(Self::keys())
            }

            fn kind() -> String {
                String::from("a table")
            }

            fn kinds() -> String {
                String::from("tables")
            }
        }
    };
}
pub(super) use section;
