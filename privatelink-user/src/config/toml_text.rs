//! Objects of the API as text in TOML.

use serde_json::{Map, Value};

use crate::interface::types::ObjectSet;

/// Tables of these names get a header of their own, as people write them.
const HEADED: [&str; 3] = ["listener", "target", "health_check"];

/// One object, each key on a line; tables within are inline, so that every location lies within
/// that of the key that holds it.
pub(super) fn object(word: &str, content: &Map<String, Value>) -> String {
    let mut text = format!("[[{word}]]\n");
    for (key, value) in present(content) {
        text += &format!("{} = ", quoted_key(key));
        match value.as_array().filter(|list| list.iter().all(Value::is_object)) {
            Some(tables) if !tables.is_empty() => {
                let lines = tables.iter().map(|table| format!("    {},\n", inline(table)));
                text += &format!("[\n{}]\n", lines.collect::<String>());
            }
            Some(_) | None => text += &format!("{}\n", inline(value)),
        }
    }
    text
}

/// All objects as one file, as people would write it.
pub fn document(objects: &ObjectSet) -> String {
    let services = objects.service.iter().map(|one| headed("service", one));
    let endpoints = objects.endpoint.iter().map(|one| headed("endpoint", one));
    services.chain(endpoints).collect::<Vec<_>>().join("\n")
}

fn headed(word: &str, content: &Map<String, Value>) -> String {
    let mut text = format!("[[{word}]]\n");
    // What follows a header belongs to its table, so plain keys come first.
    let (tables, plain): (Vec<_>, Vec<_>) = present(content)
        .partition(|(key, value)| HEADED.contains(&key.as_str()) && !is_plain(value));
    let name = plain.iter().find(|(key, _)| *key == "name");
    let others = plain.iter().filter(|(key, _)| *key != "name");
    for (key, value) in name.into_iter().chain(others) {
        text += &format!("{} = {}\n", quoted_key(key), inline(value));
    }
    for (key, value) in tables {
        let (open, close) = if value.is_array() { ("[[", "]]") } else { ("[", "]") };
        let list = std::slice::from_ref(value);
        for table in value.as_array().map_or(list, Vec::as_slice) {
            text += &format!("\n{open}{word}.{key}{close}\n");
            for (key, value) in table.as_object().into_iter().flat_map(present) {
                text += &format!("{} = {}\n", quoted_key(key), inline(value));
            }
        }
    }
    text
}

/// Whether a value is neither a table nor a list of some.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(list) => list.is_empty() || !list.iter().all(Value::is_object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// The keys that have a value: TOML knows no other.
fn present(table: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    table.iter().filter(|(_, value)| !value.is_null())
}

fn inline(value: &Value) -> String {
    match value {
        Value::Object(table) if table.is_empty() => "{}".to_owned(),
        Value::Object(table) => {
            let pairs = present(table);
            let pairs: Vec<String> = pairs
                .map(|(key, value)| format!("{} = {}", quoted_key(key), inline(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Array(list) => {
            let list = list.iter().filter(|value| !value.is_null());
            format!("[{}]", list.map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => quoted(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn quoted_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quoted(key) }
}

/// JSON escapes what TOML does, except for the character DEL.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn content(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    /// What a TOML parser makes of the text, as JSON.
    fn read(text: &str) -> Value {
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        serde_json::to_value(table).unwrap()
    }

    #[test]
    fn an_object_is_written_as_people_do() {
        let service = content(&json!({
            "drain": "5m", "name": "web", "allow": ["a", "b"], "nothing": null,
            "listener": [{ "port": 80, "map": { "9092": "10.0.0.1" } }, { "port": 81 }],
            "health_check": { "protocol": "tcp" }, "on_reject": { "drain": "3s" },
        }));
        let expected = "\
[[service]]
name = \"web\"
allow = [\"a\", \"b\"]
drain = \"5m\"
on_reject = { drain = \"3s\" }

[service.health_check]
protocol = \"tcp\"

[[service.listener]]
map = { 9092 = \"10.0.0.1\" }
port = 80

[[service.listener]]
port = 81
";
        assert_eq!(headed("service", &service), expected);
        assert_eq!(read(expected), read(&object("service", &service)));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(
            keys in prop::collection::btree_map("[a-z_]{1,9}|listener|target|.{0,3}", value(), 1..6),
        ) {
            let written: Map<String, Value> = keys.into_iter().collect();
            for text in [object("service", &written), headed("service", &written)] {
                prop_assert_eq!(&read(&text), &json!({ "service": [written] }), "{}", text);
            }
        }
    }
}
