//! What the value of a key can be: how it is decoded, and how schema and reference describe it.
//!
//! serde would stop at the first unknown key or wrong type of a document. Here each value is
//! decoded by itself; a fault costs that one value, and the others are still checked.

use serde_json::{Value, json};

use super::{
    diagnostic::{Fault, Report},
    source::Located,
    toml_value::TomlValue,
};

/// A type that the value of a key can have.
pub(super) trait Decode: Sized {
    /// Decodes a value. `None` means that `report` says why it was refused.
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self>;

    /// The JSON schema that describes the values that an editor should accept.
    fn schema() -> Value;

    /// What the column "type" of the reference says.
    fn kind() -> String;

    /// What the column "type" says after "list of".
    fn kinds() -> String {
        Self::kind() + "s"
    }

    /// Decodes into a value that remembers its location.
    fn located(value: &TomlValue<'_>, report: &mut Report) -> Option<Located<Self>> {
        Self::decode(value, report).map(|decoded| Located { value: decoded, at: value.at })
    }
}

/// A list that may be empty.
pub(super) type List<T> = Vec<Located<T>>;

impl<T: Decode> Decode for List<T> {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        match value.elements() {
            // Every element is decoded, so that all their faults are reported.
            Some(elements) => {
                Some(elements.filter_map(|element| T::located(&element, report)).collect())
            }
            None if value.value.is_table() => {
                value.mistyped("a list of tables (double brackets, `[[…]]`)", report)
            }
            None => value.mistyped("a list in brackets", report),
        }
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }

    fn kind() -> String {
        format!("list of {}", T::kinds())
    }
}

/// A list with at least one element.
#[derive(Debug)]
pub(super) struct OneOrMore<T>(pub List<T>);

impl<T: Decode> Decode for OneOrMore<T> {
    fn decode(value: &TomlValue<'_>, report: &mut Report) -> Option<Self> {
        let list: List<T> = List::decode(value, report)?;
        let written = value.elements()?.count();
        if written == 0 {
            report.push(
                Fault::new(format!("`{}` is an empty list", value.key))
                    .at(value.at)
                    .help("add at least one element, or remove the key if it is optional"),
            );
        }
        // With some of its elements missing, a list would cause faults elsewhere that the whole
        // list does not have.
        (written > 0 && list.len() == written).then_some(Self(list))
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema(), "minItems": 1 })
    }

    fn kind() -> String {
        List::<T>::kind()
    }
}

/// The schema of a string that matches `pattern`.
pub(super) fn text(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// The schema of one of a few words.
pub(super) fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

/// The schema of what matches one of `schemas`.
pub(super) fn either(schemas: &[Value]) -> Value {
    json!({ "anyOf": schemas })
}
