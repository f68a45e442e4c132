//! The schema against the decoder, and against an independent validator.

use std::{fs, path::Path};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

use super::super::{from_text, raw::ALL_KEYS, schema};

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

#[test]
fn schema_and_decoder_have_the_same_keys() {
    let mut found = Vec::new();
    tables(&schema(), &mut found);
    let sorted = |keys: Vec<String>| {
        let mut keys = keys;
        keys.sort();
        keys
    };
    let mut found: Vec<_> = found.into_iter().map(sorted).collect();
    let owned = |keys: &[&str]| sorted(keys.iter().map(ToString::to_string).collect());
    let mut expected: Vec<_> = ALL_KEYS.into_iter().map(owned).collect();
    let parts = ["gateway", "principal", "network", "service", "endpoint"];
    expected.extend([owned(&parts), owned(&["drain"])]);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn every_key_says_what_it_means() {
    fn check(schema: &Value, place: &str) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{key}");
            let parts = place.matches('.').count() == 1 || place.ends_with("on_reject.drain");
            assert!(parts || property["description"].is_string(), "{place} has no description");
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
        assert!(from_text("gw.toml", &text).is_err(), "the decoder takes {other}");
        assert!(judge.accepts(&text).is_err(), "the schema takes {other}");
    }
}
