//! The operations of the API as a table in Markdown, made from the OpenAPI document.

use std::fmt::Write as _;

use utoipa::openapi::path::Operation;

use super::routes;
use crate::interface::path;

/// A row per operation: method and path, who may use it, and what it does.
pub fn operations() -> String {
    let mut table = "| operation | who may use it | what it does |\n|---|---|---|\n".to_owned();
    for (path, item) in &routes::document().paths.paths {
        let methods = [
            ("GET", &item.get),
            ("PUT", &item.put),
            ("POST", &item.post),
            ("DELETE", &item.delete),
            ("PATCH", &item.patch),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                row(&mut table, method, path, operation);
            }
        }
    }
    // The document does not describe the path of the document.
    let _ = writeln!(
        table,
        "| `GET {}` | Every user who can connect | This interface as an OpenAPI document |",
        path::OPENAPI
    );
    table
}

fn row(table: &mut String, method: &str, path: &str, operation: &Operation) {
    let who = operation.description.as_deref().unwrap_or_default().trim_end_matches('.');
    let what = operation.summary.as_deref().unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = writeln!(table, "| `{method} {path}` | {who} | {what} |");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_says_what_it_does_and_who_may_use_it() {
        let table = operations();
        let rows: Vec<Vec<&str>> =
            table.lines().skip(2).map(|row| row.trim_matches('|').split(" | ").collect()).collect();
        assert!(rows.len() > 15, "{table}");
        for row in rows {
            assert_eq!(row.len(), 3, "{row:?}");
            assert!(row.iter().all(|cell| cell.trim().len() > 5), "{row:?}");
        }
        assert!(
            table.contains("\n| `POST /v1/reload` | Administrators only | Applies "),
            "{table}"
        );
    }
}
