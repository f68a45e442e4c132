//! The schema against the decoder, and against an independent validator.

use std::{fs, path::Path};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

use super::super::{REFERENCE, ReferenceTable, from_text, schema};

/// The schema, ready to validate with.
struct Judge {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Judge {
    fn new() -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource("configuration.json", schema()).unwrap();
        let index = compiler.compile("configuration.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn accepts(&self, text: &str) -> Result<(), String> {
        let table: toml::Table = text.parse().unwrap_or_else(|wrong| panic!("{wrong}"));
        let value = serde_json::to_value(table).unwrap();
        self.schemas.validate(&value, self.index).map_err(|wrong| format!("{wrong:#}"))
    }
}

/// Every table of the schema: the keys that it has.
fn tables(schema: &Value, found: &mut Vec<Vec<String>>) {
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], false);
        found.push(properties.keys().cloned().collect());
        properties.values().for_each(|property| tables(property, found));
    }
    tables_of_parts(schema, found);
}

fn tables_of_parts(schema: &Value, found: &mut Vec<Vec<String>>) {
    if let Some(choices) = schema["anyOf"].as_array() {
        choices.iter().for_each(|choice| tables(choice, found));
    }
    if schema["items"].is_object() {
        tables(&schema["items"], found);
    }
}

/// A table that is added to the configuration is added to the reference as well.
#[test]
fn every_table_of_the_schema_is_in_the_reference() {
    let mut found = Vec::new();
    tables(&schema(), &mut found);
    let keys = |table: &ReferenceTable| {
        let table = (table.render)();
        let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split_once('`'));
        rows.map(|(key, _)| key.to_owned()).collect::<Vec<_>>()
    };
    let mut expected: Vec<_> = REFERENCE.iter().map(keys).collect();
    // The headings of the page describe these two.
    let owned = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
    let top = [
        "authority",
        "gateway",
        "api",
        "store",
        "backbone",
        "site",
        "principal",
        "network",
        "service",
        "endpoint",
    ];
    expected.extend([owned(&top), owned(&["drain"])]);
    for keys in found.iter_mut().chain(&mut expected) {
        keys.sort();
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn every_key_says_what_it_means() {
    fn check(schema: &Value, place: &str) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{key}");
            assert!(property["description"].is_string(), "{place} has no description");
            check(property, &place);
            check(&property["items"], &place);
            for choice in property["anyOf"].as_array().into_iter().flatten() {
                check(choice, &place);
                check(&choice["items"], &place);
            }
        }
    }
    check(&schema(), "");
    let weight = "Its share of new flows; 0 drains it. Default: 100.";
    let target = &schema()["properties"]["service"]["items"]["properties"]["target"]["items"];
    assert_eq!(target["properties"]["weight"]["description"], weight);
}

#[test]
fn whatever_is_shown_is_valid() {
    let judge = Judge::new();
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        judge.accepts(&text).unwrap_or_else(|wrong| panic!("{}: {wrong}", file.display()));
    }
    let page = include_str!("../../../../docs/configuration.md");
    let samples = page.split("\n```toml").skip(1);
    for sample in samples.map(|block| block.split_once('\n').unwrap().1) {
        let text = sample.split_once("\n```").unwrap().0;
        judge.accepts(text).unwrap_or_else(|wrong| panic!("{text}\n{wrong}"));
    }
    judge.accepts(super::VALID).unwrap_or_else(|wrong| panic!("{wrong}"));
}

#[test]
fn what_an_editor_can_see_is_refused_by_both() {
    let judge = Judge::new();
    for (part, other) in [
        ("accept = ", "acept = "),
        ("port = 80\n", "port = \"eighty\"\n"),
        ("port = 80\n", "port = 0\n"),
        ("protocol = \"tcp\"", "protocol = \"sctp\""),
        ("name = \"acme-web\"", "name = \"Acme Web\""),
        ("on_reject = \"reset\"", "on_reject = { drian = \"5s\" }"),
        ("interval = \"10s\"", "interval = 10"),
        ("flows = 100_000", "flows = 0"),
        ("service = \"web\"\n", ""),
    ] {
        assert!(super::VALID.contains(part), "{part}");
        let text = super::VALID.replacen(part, other, 1);
        assert!(from_text("gw.toml", &text).is_err(), "the decoder accepts {other}");
        assert!(judge.accepts(&text).is_err(), "the schema accepts {other}");
    }
}
