//! The bill of materials, in the format of CycloneDX 1.5.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::dependencies::{Dependencies, Library};
use super::{NAME, Source};

/// The document, as JSON.
///
/// # Errors
/// When the commit's time cannot be written.
pub fn text(source: &Source, dependencies: &Dependencies) -> Result<String> {
    let components: Vec<Value> = dependencies
        .libraries
        .iter()
        .map(|((name, version), library)| component(name, version, library))
        .collect();
    let edges: Vec<Value> = dependencies
        .libraries
        .iter()
        .map(|((name, version), library)| {
            let needs = library.needs.iter().map(|(name, version)| reference(name, version));
            json!({"ref": reference(name, version), "dependsOn": needs.collect::<Vec<_>>()})
        })
        .collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": source.timestamp()?,
            "component": {
                "type": "application",
                "bom-ref": NAME,
                "name": NAME,
                "version": source.version,
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
            },
        },
        "components": components,
        "dependencies": edges,
    });
    let mut text = serde_json::to_string_pretty(&document).context("cannot write the document")?;
    text.push('\n');
    Ok(text)
}

fn component(name: &str, version: &str, library: &Library) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(name, version),
        "name": name,
        "version": version,
        "purl": reference(name, version),
    });
    if let Some(licence) = &library.licence {
        // Cargo once wrote `/` for `OR`.
        component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
    }
    if let Some(checksum) = &library.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

fn reference(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{version}")
}
