//! The paths of the control interface, as its OpenAPI document describes them.

use std::fmt::Write as _;

use privatelink_user::api;
use serde_json::Value;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A table of every path with its method, parameters, body and response.
pub(super) fn paths() -> String {
    // The document is plain data; the empty table that an error would leave fails the test.
    table(&serde_json::to_value(api::document()).unwrap_or_default())
}

fn table(document: &Value) -> String {
    let mut text =
        "| request | what for | parameters | body | response |\n|---|---|---|---|---|\n".to_owned();
    let paths = document.get("paths").and_then(Value::as_object);
    for (path, methods) in paths.into_iter().flatten() {
        for method in METHODS {
            let Some(operation) = methods.get(method) else { continue };
            let summary = operation.get("summary").and_then(Value::as_str).unwrap_or_default();
            let parameters = parameters(operation);
            let body = operation.get("requestBody").map(content).unwrap_or_default();
            let response = response(operation);
            let method = method.to_uppercase();
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "| `{method} {path}` | {summary} | {parameters} | {body} | {response} |"
            );
        }
    }
    text
}

/// The query parameters; those of the path stand in the path.
fn parameters(operation: &Value) -> String {
    let all = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let query = all.filter(|one| one.get("in").and_then(Value::as_str) == Some("query"));
    let names = query.filter_map(|one| one.get("name").and_then(Value::as_str));
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}

/// What the first successful response carries.
fn response(operation: &Value) -> String {
    let responses = operation.get("responses").and_then(Value::as_object);
    let success = responses.into_iter().flatten().find(|(status, _)| status.starts_with('2'));
    let Some((status, response)) = success else { return String::new() };
    let content = content(response);
    if content.is_empty() { status.clone() } else { format!("{status} {content}") }
}

/// The type of a body.
fn content(body: &Value) -> String {
    let kinds = body.get("content").and_then(Value::as_object);
    let Some((kind, content)) = kinds.and_then(|kinds| kinds.iter().next()) else {
        return String::new();
    };
    let schema = content.get("schema").unwrap_or(&Value::Null);
    let is_list = schema.get("type").and_then(Value::as_str) == Some("array");
    let of = if is_list { schema.get("items").unwrap_or(&Value::Null) } else { schema };
    let name = of.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    match name {
        Some(name) if is_list => format!("list of `{name}`"),
        Some(name) => format!("`{name}`"),
        None => format!("`{kind}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_document_is_in_the_table() {
        let document = serde_json::to_value(api::document()).unwrap();
        let table = table(&document);
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() > 10);
        for path in paths.keys() {
            assert!(table.contains(&format!(" {path}`")), "{path}");
        }
    }

    #[test]
    fn a_row_has_parameters_body_and_response() {
        let document = serde_json::json!({ "paths": { "/v1/x": { "post": {
            "summary": "Does x",
            "parameters": [{ "name": "id", "in": "path" }, { "name": "limit", "in": "query" }],
            "requestBody": { "content": { "text/plain": { "schema": { "type": "string" } } } },
            "responses": {
                "200": { "content": { "application/json": { "schema": {
                    "type": "array", "items": { "$ref": "#/components/schemas/X" } } } } },
                "404": {}
            }
        } } } });
        let row = "| `POST /v1/x` | Does x | `limit` | `text/plain` | 200 list of `X` |";
        assert_eq!(table(&document).lines().last(), Some(row));
    }
}
