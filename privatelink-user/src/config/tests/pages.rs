//! What users copy: the examples and the reference.

use std::{fs, path::Path};

use super::super::{REFERENCE, ReferenceTable, from_text, load};

#[test]
fn examples_are_valid() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut seen = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let directory_of_files = path.is_dir() && path.join("10-gateway.toml").exists();
        if directory_of_files || path.extension().is_some_and(|extension| extension == "toml") {
            load(&path).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
            seen += 1;
        }
    }
    assert!(seen > 0, "no examples");
}

/// Samples marked `toml` are whole configurations; those marked `toml fragment` stand after
/// the first whole one of the page.
#[test]
fn samples_of_the_reference_are_valid() {
    let page = include_str!("../../../../docs/configuration.md");
    let mut whole = None;
    let mut seen = 0;
    for block in page.split("\n```toml").skip(1) {
        let (mark, rest) = block.split_once('\n').unwrap();
        let (sample, _) = rest.split_once("\n```").unwrap();
        let text = match mark.trim() {
            "" => sample.to_owned(),
            "fragment" => format!("{}\n{sample}", whole.expect("a whole sample first")),
            other => panic!("unknown mark `{other}`"),
        };
        from_text("docs/configuration.md", &text).unwrap_or_else(|faults| panic!("{faults}"));
        whole = whole.or(Some(sample));
        seen += 1;
    }
    assert!(seen > 1, "no samples");
}

#[test]
fn the_tables_of_the_reference_are_up_to_date() {
    let page = include_str!("../../../../docs/configuration.md");
    for ReferenceTable { name, render } in REFERENCE {
        let begin = format!("<!-- generated: {name} -->\n");
        let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
        let (written, _) = rest.split_once("<!-- end -->").unwrap();
        assert_eq!(written, render(), "`{name}` is out of date: run `cargo xtask docs`");
    }
}
