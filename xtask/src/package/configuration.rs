//! A configuration with every key and its meaning, all commented out: from the schema that the
//! binary prints.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

const HEAD: &str = "\
# Every key of a configuration with its meaning. Copy what you need to /etc/privatelink/NAME.toml;
# all files there are read as one. `privatelink check` finds faults, `systemctl start privatelink`
# starts the gateway. The examples beside this file are whole configurations.
";

const WIDTH: usize = 98;

/// The text, from a JSON schema.
///
/// # Errors
/// When the schema is not one of tables.
pub fn commented(schema: &str) -> Result<String> {
    let schema: Value = serde_json::from_str(schema).context("the schema is not JSON")?;
    let mut text = HEAD.to_owned();
    tables(keys(&schema).context("the schema lists no tables")?, "", &mut text);
    Ok(text)
}

fn keys(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

/// The tables among these keys, each with its own keys first and then the tables in it.
fn tables(found: &Map<String, Value>, path: &str, text: &mut String) {
    for (name, schema) in found {
        let several = schema.get("items").and_then(keys);
        let Some(inner) = keys(schema).or(several) else { continue };
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let heading = if several.is_some() { format!("[[{path}]]") } else { format!("[{path}]") };
        let _ = writeln!(text, "\n# {heading}");
        for (key, schema) in inner {
            let is_table = keys(schema).or_else(|| schema.get("items").and_then(keys)).is_some();
            if !is_table {
                let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default();
                wrapped(meaning, text);
                let _ = writeln!(text, "# {key} =");
            }
        }
        tables(inner, &path, text);
    }
}

fn wrapped(meaning: &str, text: &mut String) {
    let mut line = "##".to_owned();
    for word in meaning.split_whitespace() {
        if line.len() + word.len() >= WIDTH {
            let _ = writeln!(text, "{line}");
            "##".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    if line.len() > 2 {
        let _ = writeln!(text, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lists_of_tables_have_their_keys() {
        let schema = r#"{"properties": {
            "gateway": {"properties": {"name": {"description": "Its name."}}},
            "service": {"items": {"properties": {
                "port": {"description": "Where."},
                "target": {"items": {"properties": {"address": {}}}}}}}
        }}"#;
        let text = commented(schema).expect("it is a schema");
        let body = text.strip_prefix(HEAD).expect("it has the head");
        assert_eq!(
            body,
            "\n# [gateway]\n## Its name.\n# name =\n\n# [[service]]\n## Where.\n# port =\n\
             \n# [[service.target]]\n# address =\n"
        );
    }
}
