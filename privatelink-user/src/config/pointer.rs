//! From a location in the text of an object to the JSON pointer of the value that is there.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::state::objects::Kind;

/// The pointer to the innermost value that holds these bytes; empty for the object itself.
///
/// The text is the one that the object was lowered to, in which tables are inline.
pub(super) fn pointer_to(text: &str, kind: Kind, span: Range<usize>) -> String {
    let (document, _) = DeTable::parse_recoverable(text);
    let objects = document.get_ref().get(kind.word());
    let object = objects.and_then(|list| list.get_ref().as_array()?.first());
    let mut pointer = String::new();
    let mut found = object;
    while let Some((step, next)) = found.and_then(|value| child(value.get_ref(), &span)) {
        pointer += &format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        found = Some(next);
    }
    pointer
}

/// The part of a value that holds these bytes, and how it is named there.
fn child<'a, 'i>(
    value: &'a DeValue<'i>,
    span: &Range<usize>,
) -> Option<(String, &'a Spanned<DeValue<'i>>)> {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    match value {
        DeValue::Table(table) => table
            .iter()
            .find(|(key, value)| holds(key.span()) || holds(value.span()))
            .map(|(key, value)| (key.get_ref().to_string(), value)),
        DeValue::Array(list) => list
            .iter()
            .enumerate()
            .find(|(_, value)| holds(value.span()))
            .map(|(index, value)| (index.to_string(), value)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::toml_text;

    #[test]
    fn each_value_is_found_where_it_is_written() {
        let object = json!({
            "name": "web", "a/b": [1, 2],
            "listener": [{ "port": 80 }, { "port": 81, "map": { "9092": "10.0.0.1" } }],
        });
        let text = toml_text::object("service", object.as_object().unwrap());
        for (part, pointer) in [
            ("\"web\"", "/name"),
            ("name", "/name"),
            ("2]", "/a~1b"),
            ("81", "/listener/1/port"),
            ("\"10.0.0.1\"", "/listener/1/map/9092"),
            ("{ port = 80 }", "/listener/0"),
            ("[[service]]", ""),
        ] {
            let start = text.find(part).unwrap();
            let found = pointer_to(&text, Kind::Service, start..start + part.len());
            assert_eq!(found, pointer, "{part} in {text}");
            assert!(object.pointer(pointer).is_some());
        }
    }
}
